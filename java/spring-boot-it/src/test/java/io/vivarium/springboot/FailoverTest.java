package io.vivarium.springboot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.client.RegistryEvent;
import io.vivarium.client.VivariumClient;
import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Waiting;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Instances of a Spring Boot application as processes of their own, with one registry. */
class FailoverTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension SERVER = new EmbeddedRegistryExtension(EmbeddedRegistryServer.builder()
        .setting("timing.tick_ms", "100"));

    private static final String ROOT = "/dolphinscheduler";

    @TempDir
    Path directory;

    private static final class Instance implements AutoCloseable {
        final Recorder<String> said = new Recorder<>(line -> line);
        final Process process;

        Instance(Path directory, String name, String... more) throws IOException {
            Path java = Path.of(System.getProperty("java.home"), "bin", "java");
            ProcessBuilder builder = new ProcessBuilder(java.toString(), "-Xmx128m", "-cp", System.getProperty("java.class.path"),
                MasterApplication.class.getName(), "--instance=" + name);
            builder.command().addAll(List.of(more));
            process = builder.directory(directory.toFile()).redirectErrorStream(true).start();
            Thread reader = new Thread(this::read, "test-reader-" + name);
            reader.setDaemon(true);
            reader.start();
        }

        private void read() {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line; (line = lines.readLine()) != null;) {
                    System.out.println(process.pid() + ": " + line);
                    said.tell(line);
                }
            } catch (IOException failed) {
                throw new UncheckedIOException(failed);
            }
        }

        void signal(String signal) throws Exception {
            assertEquals(0, new ProcessBuilder("kill", "-" + signal, String.valueOf(process.pid())).start().waitFor());
        }

        @Override
        public void close() {
            process.destroyForcibly();
        }
    }

    private Instance instance(String name) throws IOException {
        return new Instance(directory, name, "--registry.embedded.endpoints=" + SERVER.getServer().getNativeAddress());
    }

    private static void awaitMaster(Recorder<RegistryEvent> ledger, String name) {
        Waiting.until(name + " writes", ledger::all, () -> {
            List<String> all = ledger.all();
            return !all.isEmpty() && all.get(all.size() - 1).split(" ")[1].equals(name);
        });
    }

    /** One master at a time, whoever is stopped or killed, and nothing of a former one after the next has begun. */
    @Test
    void anotherInstanceTakesOverAndTheFormerMasterWritesNothingMore() throws Exception {
        Recorder<RegistryEvent> ledger = new Recorder<>(RegistryEvent::text);
        try (VivariumClient witness = VivariumClient.builder().endpoints(SERVER.getServer().getNativeAddress()).build();
            Instance first = instance("first")) {
            witness.registry().subscribe(ROOT + Master.LEDGER, ledger::tell);
            awaitMaster(ledger, "first");
            try (Instance second = instance("second")) {
                Waiting.until("the second instance is there", () -> witness.registry().exists(ROOT + "/nodes/master/second"));
                // A pause that is longer than its session lives: it thinks that it is the master when it goes on.
                first.signal("STOP");
                awaitMaster(ledger, "second");
                first.signal("CONT");
                Waiting.until("its late write is refused", first.said::all,
                    () -> first.said.all().stream().anyMatch(line -> line.startsWith("not master: ")));
                Waiting.until("it stands in line", () -> witness.locks().holders(ROOT + Master.LOCK).size() == 2);
                second.process.destroyForcibly();
                Waiting.until("the first one is the master again", ledger::all, () -> {
                    List<String> all = ledger.all();
                    return all.get(all.size() - 1).split(" ")[1].equals("first");
                });
            }
            long token = 0;
            for (String line : ledger.all()) {
                long next = Long.parseLong(line.split(" ")[0]);
                assertTrue(next >= token, () -> "a former master has written: " + ledger.all());
                token = next;
            }
        }
    }

    /** Without any endpoint, the application has its registry with it, and leaves none behind when it is killed. */
    @Test
    void withoutEndpointsTheApplicationHasItsOwnRegistry() throws Exception {
        try (Instance alone = new Instance(directory, "alone")) {
            alone.said.await("master");
            List<ProcessHandle> servers = alone.process.descendants().toList();
            assertTrue(!servers.isEmpty());
            assertTrue(alone.said.all().stream().anyMatch(line -> line.contains("io.vivarium.server") && line.contains("member started")),
                () -> alone.said.all().toString());
            alone.close();
            Waiting.until("its server is gone", () -> servers.stream().noneMatch(ProcessHandle::isAlive));
            try (Instance again = new Instance(directory, "alone")) {
                again.said.await("master");
                // Asked to stop, it closes its registry and ends.
                again.signal("TERM");
                again.process.waitFor();
            }
        }
    }
}
