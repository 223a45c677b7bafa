package io.vivarium.embedded;

import static io.vivarium.testkit.Waiting.answers;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryException.Reason;
import io.vivarium.testkit.Child;
import io.vivarium.testkit.Waiting;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmbeddedRegistryServerTest {
    @TempDir
    Path directory;

    @AfterEach
    void nothingIsLeft() {
        Waiting.until("threads are gone", () -> threads().isEmpty());
        Waiting.until("processes are gone", () -> ProcessHandle.current().descendants().noneMatch(ProcessHandle::isAlive));
    }

    private static Set<String> threads() {
        return Thread.getAllStackTraces().keySet().stream().filter(Thread::isAlive).map(Thread::getName)
            .filter(name -> name.startsWith("vivarium")).collect(Collectors.toSet());
    }

    private static EmbeddedRegistryException refused(EmbeddedRegistryServer.Builder options, Reason reason, String... words) {
        EmbeddedRegistryException refused = assertThrows(EmbeddedRegistryException.class, options::start);
        assertEquals(reason, refused.reason(), refused::getMessage);
        for (String word : words) {
            assertTrue(refused.getMessage().contains(word), () -> word + " is not in: " + refused.getMessage());
        }
        return refused;
    }

    private EmbeddedRegistryServer.Builder here() {
        return EmbeddedRegistryServer.builder().dataDirectory(directory);
    }

    private Path script(String text) throws IOException {
        Path script = directory.resolve("program");
        Files.write(script, ("#!/bin/sh\n" + text).getBytes(StandardCharsets.UTF_8));
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        return script;
    }

    /** What a test needs of Curator's TestingServer: an address that answers, and nothing left afterwards. */
    @Test
    void serversOfATestAreApartAndLeaveNothing() {
        Path kept;
        String address;
        try (EmbeddedRegistryServer one = new EmbeddedRegistryServer(); EmbeddedRegistryServer other = new EmbeddedRegistryServer()) {
            assertTrue(answers(one.getConnectString()));
            assertTrue(answers(one.getNativeAddress()));
            assertTrue(answers(one.getAdminAddress()));
            assertTrue(one.isRunning());
            assertNotEquals(one.getConnectString(), other.getConnectString());
            kept = one.getDataDirectory();
            address = one.getConnectString();
            one.start();
            assertEquals(address, one.getConnectString(), "starting what runs does nothing");
            List<Thread> threads = Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("vivarium")).collect(Collectors.toList());
            assertEquals(2, threads.size(), threads::toString);
            assertTrue(threads.stream().allMatch(Thread::isDaemon));

            one.close();
            one.close();
            assertFalse(one.isRunning());
            assertEquals(Reason.CLOSED, assertThrows(EmbeddedRegistryException.class, one::start).reason());
        }
        assertFalse(answers(address));
        assertFalse(Files.exists(kept));
    }

    @Test
    void dataAndPortsOutliveARestart() {
        String address;
        try (EmbeddedRegistryServer server = here().start()) {
            address = server.getConnectString();
            server.restart();
            assertEquals(address, server.getConnectString());
            assertTrue(answers(address));
            server.stop();
            server.stop();
            assertFalse(answers(address));
        }
        try (EmbeddedRegistryServer again = here().start()) {
            assertEquals(address, again.getConnectString(), "a host that is started again finds its registry where it was");
        }
        assertTrue(Files.isDirectory(directory.resolve("data")));
    }

    /** When another program has got the port meanwhile, another port is taken. */
    @Test
    void aPortOfTheLastStartIsNotInsistedOn() throws IOException {
        String address;
        try (EmbeddedRegistryServer server = here().start()) {
            address = server.getConnectString();
        }
        int port = Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
        try (ServerSocket taken = new ServerSocket(port, 1, InetAddress.getByName(Ports.HOST));
            EmbeddedRegistryServer server = here().start()) {
            assertNotEquals(address, server.getConnectString());
        }
    }

    @Test
    void aPortThatIsAskedForAndTakenIsNamed() throws IOException {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName(Ports.HOST))) {
            refused(here().clientPort(taken.getLocalPort()), Reason.PORT_TAKEN, String.valueOf(taken.getLocalPort()), "ss -ltnp",
                "cannot listen");
        }
        assertThrows(IllegalArgumentException.class, () -> here().nativePort(65_536));
    }

    @Test
    void aDirectoryThatAnotherServerUsesIsNotShared() {
        try (EmbeddedRegistryServer server = here().start()) {
            refused(here(), Reason.DIRECTORY_IN_USE, directory.toString(), "a data directory of its own", "another process");
            assertTrue(server.isRunning());
        }
    }

    @Test
    void aDirectoryThatCannotBeMadeIsNamed() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));
        refused(EmbeddedRegistryServer.builder().dataDirectory(file), Reason.DIRECTORY_UNUSABLE, file.toString());
    }

    /** Its host would not find it again where it was. */
    @Test
    void aServerWhosePortsCannotBeKeptIsStopped() throws IOException {
        Files.createDirectory(directory.resolve("ports.properties"));
        refused(here(), Reason.DIRECTORY_UNUSABLE, "ports.properties");
    }

    @Test
    void aProgramThatIsNotThereIsNamed() {
        refused(here().binary(directory.resolve("nowhere")), Reason.NO_BINARY, "nowhere", "correct the path");
        refused(here().binary(directory), Reason.NO_BINARY);
    }

    @Test
    void aProgramThatMayNotBeRunIsNamed() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));
        refused(here().binary(file), Reason.NOT_EXECUTABLE, "chmod +x", file.toString());
    }

    @Test
    void aProgramOfAnotherMachineIsNamed() throws IOException {
        Path program = script("");
        Files.write(program, new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0});
        refused(here().binary(program), Reason.WRONG_PLATFORM, "no program for this machine");
        Files.write(program, new byte[] {'M', 'Z', 0, 0});
        refused(here().binary(program), Reason.WRONG_PLATFORM, "no program for this machine");
        Files.write(program, "#!/nowhere/interpreter\n".getBytes(StandardCharsets.UTF_8));
        refused(here().binary(program), Reason.WRONG_PLATFORM, "needs what is not on this machine");
    }

    @Test
    void aServerThatEndsAtItsStartIsQuoted() throws IOException {
        refused(here().binary(script("echo the disk is made of cheese >&2\nexit 5\n")), Reason.ENDED_AT_START,
            "exit code 5", "the disk is made of cheese", "docs/operations.md");
        refused(here().setting("timing.tick_ms", "soon"), Reason.ENDED_AT_START, "exit code 3", "timing.tick_ms", "vivarium settings");
    }

    @Test
    void aServerThatIsNotReadyInTimeIsStopped() throws IOException {
        refused(here().binary(script("echo thinking\nexec sleep 1000\n")).startTimeout(Duration.ofMillis(300)),
            Reason.NOT_READY_IN_TIME, "thinking", "start timeout");
    }

    @Test
    void whoeverWaitsForAStartMayBeInterrupted() throws Exception {
        Path program = script("echo here\nexec sleep 1000\n");
        AtomicReference<Throwable> outcome = new AtomicReference<>();
        Thread starter = new Thread(() -> {
            try {
                here().binary(program).start();
            } catch (EmbeddedRegistryException refused) {
                outcome.set(Thread.currentThread().isInterrupted() ? refused : new AssertionError("the interruption is lost"));
            }
        });
        starter.start();
        Waiting.until("the program runs", () -> ProcessHandle.current().children().findAny().isPresent());
        starter.interrupt();
        Waiting.join(starter);
        assertEquals(Reason.INTERRUPTED, ((EmbeddedRegistryException) outcome.get()).reason());
    }

    /** A server that is killed under its host is said to be gone, and can be started again with its data. */
    @Test
    void aServerThatWasKilledIsStartedAgain() {
        try (EmbeddedRegistryServer server = here().start()) {
            ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly);
            Waiting.until("it is noticed", () -> !server.isRunning());
            server.start();
            assertTrue(answers(server.getConnectString()));
        }
    }

    private static void killServers() {
        List<ProcessHandle> servers = ProcessHandle.current().descendants().collect(Collectors.toList());
        assertFalse(servers.isEmpty());
        servers.forEach(ProcessHandle::destroyForcibly);
        Waiting.until("they are gone", () -> servers.stream().noneMatch(ProcessHandle::isAlive));
    }

    /** What a host relies on is there again by itself, at the same address and with its data. */
    @Test
    void aServerThatDiesByItselfIsKeptRunningWhereThatIsAskedFor() {
        String log = logOf(() -> {
            try (EmbeddedRegistryServer server = here().keepRunning(true).start()) {
                String address = server.getConnectString();
                for (int turn = 0; turn < 2; turn++) {
                    killServers();
                    Waiting.until("it is started again", () -> server.isRunning() && answers(address));
                    assertEquals(address, server.getConnectString());
                }
                // Stopped on purpose, it stays so.
                server.stop();
                assertFalse(answers(address));
                server.start();
                server.restart();
                assertTrue(answers(address));
                killServers();
                server.start();
                assertTrue(answers(address), "and whoever is quicker");
            }
        });
        assertTrue(log.contains("has ended by itself with exit code 137"), log);
        assertFalse(log.contains("could not be started again"), log);
    }

    @Test
    void aServerThatCannotBeStartedAgainIsLeftAndTheLogSaysWhatToDo() throws IOException {
        Path broken = directory.resolve("broken");
        Path program = script("if [ -e " + broken + " ]; then echo the disk is gone; exit 5; fi\nexec \"$SERVER\" \"$@\"\n"
            .replace("$SERVER", System.getenv("VIVARIUM_BIN")));
        String log = logOf(() -> {
            EmbeddedRegistryServer.Builder options = here().binary(program).keepRunning(true).restartPause(Duration.ofMillis(1));
            try (EmbeddedRegistryServer server = options.start()) {
                Files.createFile(broken);
                killServers();
                Waiting.until("it is given up", () -> threads().stream().noneMatch(name -> name.contains("watch")));
                assertFalse(server.isRunning());
                Files.delete(broken);
                server.start();
                assertTrue(answers(server.getConnectString()));
            }
        });
        assertEquals(EmbeddedRegistryServer.RESTARTS_MAX, log.split("could not be started again", -1).length - 1, log);
        assertTrue(log.contains("the disk is gone"), log);
        assertTrue(log.contains("is not started again any more: 5 tries did not help") && log.contains("restart this host"), log);
    }

    /** The ports that were free a moment ago are said not to be, again and again. */
    @Test
    void otherPortsAreTriedSoOftenAndNotForEver() throws IOException {
        Path count = directory.resolve("count");
        refused(here().binary(script("echo again >> " + count + "\nexit " + ServerProcess.EXIT_DOOR + "\n")), Reason.PORT_TAKEN,
            "its ports are taken");
        assertEquals(EmbeddedRegistryServer.PORT_TRIES_MAX, Files.readAllLines(count).size());
    }

    /** Who asks how it is does not wait for whoever stops it. */
    @Test
    void aServerMayBeLookedAtWhileItIsBeingStopped() throws Exception {
        Path program = script("exec \"$SERVER\" \"$@\"\n".replace("$SERVER", System.getenv("VIVARIUM_BIN")));
        EmbeddedRegistryServer server = here().binary(program).start();
        ProcessHandle process = ProcessHandle.current().descendants().findFirst().orElseThrow();
        Child.send("STOP", process.pid());
        Thread stopping = new Thread(server::close);
        stopping.start();
        Waiting.until("it waits for the end of the process", () -> stopping.getState() == Thread.State.TIMED_WAITING);
        String address = server.getConnectString();
        assertFalse(server.isRunning());
        assertTrue(process.isAlive());
        Child.send("CONT", process.pid());
        Waiting.join(stopping);
        assertFalse(answers(address));
    }

    private interface Work {
        void run() throws IOException;
    }

    private static String logOf(Work work) {
        PrintStream original = System.err;
        ByteArrayOutputStream captured = new ByteArrayOutputStream();
        System.setErr(new PrintStream(captured, true));
        try {
            work.run();
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        } finally {
            System.setErr(original);
        }
        return captured.toString();
    }

    @Test
    void itsLogGoesToTheLogOfTheHost() {
        String log = logOf(() -> {
            try (EmbeddedRegistryServer server = new EmbeddedRegistryServer()) {
                assertTrue(server.isRunning());
            }
        });
        assertTrue(log.contains("INFO io.vivarium.server - vivarium::cli::serving: member started"), log);
        assertTrue(log.contains("INFO io.vivarium.server - vivarium::cli::serving: stopping"), log);
        assertTrue(log.contains("ZooKeeper protocol at 127.0.0.1:"), log);
    }

    /** A host that is killed cannot stop anything; its server must not be there any more all the same. */
    @Test
    void aHostThatIsKilledLeavesNoServerBehind() throws IOException {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Process host = new ProcessBuilder(java.toString(), "-cp", System.getProperty("java.class.path"), Host.class.getName(),
            directory.toString()).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        List<ProcessHandle> servers;
        String address;
        try (BufferedReader said = new BufferedReader(new InputStreamReader(host.getInputStream(), StandardCharsets.UTF_8))) {
            String line = said.readLine();
            assertTrue(line != null && line.startsWith("registry "), line);
            address = line.substring("registry ".length());
            servers = host.descendants().collect(Collectors.toList());
            assertFalse(servers.isEmpty());
            assertTrue(answers(address));
        } finally {
            host.destroyForcibly();
        }
        Waiting.until("its server is gone", () -> servers.stream().noneMatch(ProcessHandle::isAlive));
        assertFalse(answers(address));
        try (EmbeddedRegistryServer next = here().start()) {
            assertTrue(answers(next.getConnectString()), "the next host has the directory");
        }
    }
}
