package io.vivarium.dolphinscheduler.v31;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.testkit.Threads;
import io.vivarium.testkit.Waiting;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/**
 * Three nodes of DolphinScheduler 3.1 move from its own, unmodified plugins of ZooKeeper and MySQL, with real servers
 * below them, to a cluster of ours, one after the other. All of them work under one lock meanwhile.
 */
class MigrationTest {
    /** Each test has a cluster of its own. */
    @RegisterExtension
    final EmbeddedRegistryExtension cluster = new EmbeddedRegistryExtension(EmbeddedRegistryServer.builder()
        .setting("timing.tick_ms", "100"));

    private final AtomicInteger working = new AtomicInteger();
    private final List<Node> nodes = new ArrayList<>();
    private Former former;
    private int round;

    @AfterEach
    void nothingIsLeft() throws Exception {
        nodes.forEach(Node::close);
        former.close();
        Waiting.until("threads are gone", Threads::ours, () -> Threads.ours().stream()
            .allMatch(thread -> thread.getName().startsWith("vivarium-embedded")));
    }

    private Node start(String name, Step step) {
        Node node = new Node(name, working, step.arguments(former, cluster.getServer().getNativeAddress()));
        node.register(step.name());
        return node;
    }

    private void startAll() {
        for (String name : List.of("a:1", "b:1", "c:1")) {
            nodes.add(start(name, Step.OLD));
        }
    }

    /** One node after the other. */
    private void moveAllTo(Step step) throws Exception {
        for (int i = 0; i < nodes.size(); i++) {
            Node moved = nodes.remove(i);
            moved.leave();
            for (Node other : nodes) {
                other.told.await(moved.name + " gone");
            }
            nodes.add(i, start(moved.name, step));
            see();
            nodes.get(i).awaitTurnAfter(0);
        }
        check();
    }

    /** All see each other, and are told of each other. */
    private void see() {
        String value = "round " + ++round;
        Set<String> names = new TreeSet<>();
        for (Node node : nodes) {
            node.register(value);
            names.add(node.name);
        }
        for (Node node : nodes) {
            for (String name : names) {
                node.told.await(name + "=" + value);
            }
            assertEquals(names, new TreeSet<>(node.registry.children(Node.MASTERS)), () -> node.name);
        }
    }

    /** And each gets the lock. */
    private void check() {
        see();
        List<Integer> turns = new ArrayList<>();
        nodes.forEach(node -> turns.add(node.turns()));
        for (int i = 0; i < nodes.size(); i++) {
            nodes.get(i).awaitTurnAfter(turns.get(i));
        }
    }

    @Test
    void threeNodesMoveFromZooKeeperAndBack() throws Exception {
        former = new Former.ZooKeeper();
        startAll();
        check();
        RuntimeException early = assertThrows(RuntimeException.class, () -> start("d:1", Step.BRIDGE_READING_EMBEDDED));
        assertTrue(early.getMessage().contains("[/nodes/master/a:1, /nodes/master/b:1, /nodes/master/c:1]"), early.getMessage());
        moveAllTo(Step.BRIDGE_READING_OLD);
        moveAllTo(Step.BRIDGE_READING_EMBEDDED);
        moveAllTo(Step.EMBEDDED);
        moveAllTo(Step.BRIDGE_READING_EMBEDDED);
        moveAllTo(Step.BRIDGE_READING_OLD);
        moveAllTo(Step.OLD);
        for (Node node : nodes) {
            node.finishWork();
        }
    }

    @Test
    void threeNodesMoveFromMySql(@TempDir Path directory) throws Exception {
        Assumptions.assumeTrue(Former.MariaDb.isInstalled(), "mariadbd is not on the PATH");
        former = new Former.MariaDb(directory);
        startAll();
        check();
        moveAllTo(Step.BRIDGE_READING_OLD);
        moveAllTo(Step.BRIDGE_READING_EMBEDDED);
        moveAllTo(Step.EMBEDDED);
        for (Node node : nodes) {
            node.finishWork();
        }
    }

    /** A node that dies is gone for those at its step and at the next one, and its lock is theirs. */
    @Test
    void theLockOfANodeThatIsKilledPassesOn() throws Exception {
        former = new Former.ZooKeeper();
        String endpoint = cluster.getServer().getNativeAddress();
        for (Step step : List.of(Step.BRIDGE_READING_OLD, Step.BRIDGE_READING_EMBEDDED)) {
            Process killed = process("killed:1", step.arguments(former, endpoint));
            for (Step other : List.of(step, step == Step.BRIDGE_READING_OLD ? Step.OLD : Step.EMBEDDED)) {
                nodes.add(start(other.name(), other));
            }
            try {
                for (Node node : nodes) {
                    node.told.await("killed:1=here");
                    assertEquals(0, node.turns());
                }
            } finally {
                killed.destroyForcibly();
            }
            for (Node node : nodes) {
                node.awaitTurnAfter(0);
                node.told.await("killed:1 gone");
            }
            for (Node node : nodes) {
                node.leave();
            }
            nodes.clear();
        }
    }

    private Process process(String name, String... configuration) throws IOException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp", System.getProperty("java.class.path"), NodeProgram.class.getName(), name));
        command.addAll(List.of(configuration));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = lines.readLine();
        while (line != null && !line.equals("READY")) {
            line = lines.readLine();
        }
        assertEquals("READY", line);
        return process;
    }

    /** The old ensemble is gone before its time: nodes are told so, and go on where it is not needed any more. */
    @Test
    void nodesGoOnWithoutTheOldOneWhenItIsGone() throws Exception {
        Former.ZooKeeper zookeeper = new Former.ZooKeeper();
        former = zookeeper;
        startAll();
        moveAllTo(Step.BRIDGE_READING_OLD);
        Node first = nodes.get(0);
        first.leave();
        nodes.set(0, start(first.name, Step.BRIDGE_READING_EMBEDDED));
        check();
        for (Node node : nodes) {
            node.finishWork();
        }
        zookeeper.server.stop();
        for (Node node : nodes) {
            node.states.await("SUSPENDED");
            node.states.await("DISCONNECTED");
        }
        // What they had in the other one went with it.
        nodes.get(0).told.await("b:1 gone");
        nodes.get(0).told.await("c:1 gone");
        Node started = nodes.get(1);
        started.close();
        assertThrows(RuntimeException.class, () -> start(started.name, Step.BRIDGE_READING_EMBEDDED), "a bridge has two ends");
        nodes.get(0).close();
        nodes.get(2).close();
        for (int i = 0; i < nodes.size(); i++) {
            nodes.set(i, start(nodes.get(i).name, Step.EMBEDDED));
        }
        check();
    }

    /** The new one fails: nodes are told so, and come back to it, or go back a step. */
    @Test
    void nodesGoBackWithoutTheNewOneWhenItIsGone() throws Exception {
        former = new Former.ZooKeeper();
        startAll();
        Node first = nodes.get(0);
        first.leave();
        nodes.set(0, start(first.name, Step.BRIDGE_READING_OLD));
        check();
        nodes.get(0).finishWork();
        cluster.getServer().stop();
        nodes.get(0).states.await("DISCONNECTED");
        nodes.get(1).told.await("a:1 gone");
        cluster.getServer().start();
        nodes.get(0).states.await("RECONNECTED");
        nodes.get(0).register("again");
        nodes.get(1).told.await("a:1=again");

        cluster.getServer().stop();
        nodes.get(0).close();
        nodes.set(0, start(first.name, Step.OLD));
        check();
        assertFalse(nodes.get(1).states.all().contains("DISCONNECTED"), "who does not use it does not notice");
        assertTrue(nodes.get(1).registry.exists(Node.MASTERS));
        cluster.getServer().start();
    }
}
