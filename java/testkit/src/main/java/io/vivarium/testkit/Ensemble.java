package io.vivarium.testkit;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** One or more real members on loopback, with their data in {@code target/}. Ended by their process ids. */
public class Ensemble implements AutoCloseable {
    /** For a start, an election, a way back: an order of magnitude above what an idle machine takes. */
    public static final Duration PATIENCE = Waiting.PATIENCE;
    private static final int PORT_CONFLICTS_MAX = 5;
    private static final int LOG_LINES_SHOWN = 40;
    /** Below the range from which the kernel serves outgoing connections. */
    private static final int PORT_FIRST = 12_000;
    private static final int PORT_COUNT = 20_000;
    private static final AtomicInteger NEXT =
            new AtomicInteger((int) ((ProcessHandle.current().pid() * 97) % PORT_COUNT));

    private final List<Member> members = new ArrayList<>();
    private final List<String> settings;

    public final class Member {
        public final int number;
        public final int client = freePort();
        public final int peer = freePort();
        public final int grpc = freePort();
        public final int admin = freePort();
        public final Path directory;
        private Process process;

        Member(int number, Path directory) {
            this.number = number;
            this.directory = directory;
        }

        public String endpoint() {
            return "127.0.0.1:" + grpc;
        }

        /** Again, with what it has on its disk. */
        public void start() {
            List<String> command = new ArrayList<>(List.of(
                    binary(), "server", "--id", "" + number, "--data-dir", directory.resolve("data").toString(),
                    "--token", "java-tests"));
            for (Member each : members) {
                command.add("--member");
                command.add(String.format(
                        "%d=127.0.0.1:%d:%d:%d:%d", each.number, each.client, each.peer, each.grpc, each.admin));
            }
            List<String> all = new ArrayList<>(List.of(
                    "timing.tick_ms=250", "timing.session_timeout_ms_min=1000"));
            all.addAll(settings);
            for (String setting : all) {
                command.add("--set");
                command.add(setting);
            }
            try {
                Files.createDirectories(directory);
                File log = directory.resolve("log").toFile();
                process = new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
                        .start();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        public boolean isReady() {
            try {
                URI uri = URI.create("http://127.0.0.1:" + admin + "/readyz");
                HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
                connection.setConnectTimeout(1_000);
                connection.setReadTimeout(1_000);
                return connection.getResponseCode() == 200;
            } catch (IOException notYet) {
                return false;
            }
        }

        /** SIGKILL. */
        public void kill() {
            process.destroyForcibly();
            try {
                process.waitFor(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        /** SIGSTOP and SIGCONT. */
        public void signal(String name) {
            Child.send(name, process.pid());
        }

        public String logTail() {
            try (Stream<String> lines = Files.lines(directory.resolve("log"))) {
                List<String> all = lines.collect(Collectors.toList());
                return String.join("\n", all.subList(Math.max(0, all.size() - LOG_LINES_SHOWN), all.size()));
            } catch (IOException error) {
                return error.toString();
            }
        }
    }

    /** Returns once all of them serve. */
    public Ensemble(int number, String... settings) {
        this.settings = List.of(settings);
        for (int attempt = 0; attempt < PORT_CONFLICTS_MAX; attempt++) {
            members.clear();
            Path directory = fresh();
            for (int each = 1; each <= number; each++) {
                members.add(new Member(each, directory.resolve("" + each)));
            }
            for (Member member : members) {
                member.start();
            }
            boolean[] taken = {false};
            Waiting.until("the members serve", () -> {
                taken[0] = members.stream().anyMatch(member -> !member.process.isAlive());
                return taken[0] || members.stream().allMatch(Member::isReady);
            });
            if (!taken[0]) {
                return;
            }
            String logs = members.stream().map(Member::logTail).collect(Collectors.joining("\n"));
            close();
            if (!logs.contains("in use")) {
                throw new AssertionError("a member ended:\n" + logs);
            }
        }
        throw new AssertionError("other processes took the members' ports again and again");
    }

    public Member member(int number) {
        return members.get(number - 1);
    }

    /** Of the native API. */
    public String[] endpoints() {
        return members.stream().map(Member::endpoint).toArray(String[]::new);
    }

    /** Of the ZooKeeper protocol, as such clients are told it. */
    public String connectString() {
        return members.stream().map(member -> "127.0.0.1:" + member.client).collect(Collectors.joining(","));
    }

    @Override
    public void close() {
        for (Member member : members) {
            // A process that was stopped takes SIGKILL all the same.
            member.kill();
        }
    }

    private static String binary() {
        String binary = System.getenv("VIVARIUM_BIN");
        if (binary == null || binary.isEmpty() || !Files.isExecutable(Path.of(binary))) {
            throw new AssertionError("VIVARIUM_BIN is to name the program of a member, and is " + binary);
        }
        return binary;
    }

    public static int freePort() {
        for (int attempt = 0; attempt < PORT_COUNT; attempt++) {
            int port = PORT_FIRST + Math.floorMod(NEXT.getAndIncrement(), PORT_COUNT);
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException taken) {
                // The next one.
            }
        }
        throw new AssertionError("no port is free");
    }

    private static Path fresh() {
        try {
            Path base = Path.of("target", "members").toAbsolutePath();
            Files.createDirectories(base);
            Path made = Files.createTempDirectory(base, "cluster");
            Runtime.getRuntime().addShutdownHook(new Thread(() -> remove(made)));
            return made;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static void remove(Path directory) {
        try (Stream<Path> all = Files.walk(directory)) {
            all.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
        } catch (IOException | UncheckedIOException gone) {
            // `clean` takes the rest.
        }
    }
}
