package io.vivarium.springboot;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.client.RegistryEvent;
import io.vivarium.client.VivariumClient;
import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.testkit.Child;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Waiting;
import java.nio.file.Path;
import java.util.ArrayList;
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

    private Child instance(String name, String... more) {
        List<String> arguments = new ArrayList<>(List.of("--instance=" + name));
        arguments.addAll(List.of(more));
        return Child.start(directory.toFile(), System.getProperty("java.class.path"), MasterApplication.class.getName(),
            arguments.toArray(new String[0]));
    }

    private Child connected(String name) {
        return instance(name, "--registry.embedded.endpoints=" + SERVER.getServer().getNativeAddress());
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
            Child first = connected("first")) {
            witness.registry().subscribe(ROOT + Master.LEDGER, ledger::tell);
            awaitMaster(ledger, "first");
            try (Child second = connected("second")) {
                Waiting.until("the second instance is there", () -> witness.registry().exists(ROOT + "/nodes/master/second"));
                // A pause that is longer than its session lives: it thinks that it is the master when it goes on.
                first.signal("STOP");
                awaitMaster(ledger, "second");
                first.signal("CONT");
                Waiting.until("its late write is refused", first::lines,
                    () -> first.lines().stream().anyMatch(line -> line.startsWith("not master: ")));
                Waiting.until("it stands in line", () -> witness.locks().holders(ROOT + Master.LOCK).size() == 2);
                second.close();
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
        try (Child alone = instance("alone")) {
            alone.await("master");
            List<ProcessHandle> servers = alone.handle().descendants().toList();
            assertTrue(!servers.isEmpty());
            assertTrue(alone.lines().stream().anyMatch(line -> line.contains("io.vivarium.server") && line.contains("member started")),
                () -> alone.lines().toString());
            alone.close();
            Waiting.until("its server is gone", () -> servers.stream().noneMatch(ProcessHandle::isAlive));
            try (Child again = instance("alone")) {
                again.await("master");
                // Asked to stop, it closes its registry and ends.
                again.signal("TERM");
                again.exitCode();
            }
        }
    }
}
