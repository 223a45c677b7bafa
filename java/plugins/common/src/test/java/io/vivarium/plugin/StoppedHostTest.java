package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.testkit.Recorder;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Hosts whose process is stopped for longer than their session lives, or killed. */
class StoppedHostTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension SERVER = new EmbeddedRegistryExtension(EmbeddedRegistryServer.builder()
        .setting("timing.tick_ms", "100"));

    private static final String NAMESPACE = "stopped";

    private static Process host(Recorder<String> said) throws IOException {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Process host = new ProcessBuilder(java.toString(), "-cp", System.getProperty("java.class.path"), Host.class.getName(),
            SERVER.getServer().getNativeAddress(), NAMESPACE).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        Thread reader = new Thread(() -> {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(host.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line; (line = lines.readLine()) != null;) {
                    said.tell(line);
                }
            } catch (IOException failed) {
                throw new UncheckedIOException(failed);
            }
        }, "test-reader");
        reader.setDaemon(true);
        reader.start();
        return host;
    }

    private static void signal(Process process, String signal) throws Exception {
        assertEquals(0, new ProcessBuilder("kill", "-" + signal, String.valueOf(process.pid())).start().waitFor());
    }

    @Test
    void aHostThatWasStoppedForTooLongIsToldAndComesBack() throws Exception {
        EmbeddedRegistryProperties properties = HostRegistryTest.properties(SERVER.getServer().getNativeAddress());
        properties.setNamespace(NAMESPACE);
        Recorder<String> said = new Recorder<>(line -> line);
        Process host = host(said);
        try (HostRegistry witness = new HostRegistry(properties, "default", IllegalStateException::new)) {
            witness.start();
            said.await("READY");
            Recorder<Change> told = new Recorder<>(change -> change.type() + " " + change.data());
            witness.subscribe("/nodes/host", told::tell);
            told.awaitExactly("ADD first");
            signal(host, "STOP");
            told.awaitExactly("ADD first", "REMOVE first");
            assertTrue(witness.acquireLock("/lock/host"), "what it held ended with its session");
            signal(host, "CONT");
            said.await("DISCONNECTED");
            said.await("RECONNECTED");
            List<String> states = said.all();
            assertTrue(states.indexOf("DISCONNECTED") < states.lastIndexOf("RECONNECTED"), states::toString);
            told.awaitExactly("ADD first", "REMOVE first", "ADD again");

            host.destroyForcibly();
            told.awaitExactly("ADD first", "REMOVE first", "ADD again", "REMOVE again");
        } finally {
            host.destroyForcibly();
        }
    }
}
