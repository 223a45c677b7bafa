package io.vivarium.embedded;

import io.vivarium.embedded.EmbeddedRegistryException.Reason;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A registry of this program's own: the vivarium server as a child process, alone in its ensemble, on
 * loopback.
 *
 * <pre>{@code
 * try (EmbeddedRegistryServer server = new EmbeddedRegistryServer()) {
 *     CuratorFramework zookeeper = CuratorFrameworkFactory.newClient(server.getConnectString(), retry);
 *     VivariumClient client = VivariumClient.builder().endpoints(server.getNativeAddress()).build();
 * }
 * }</pre>
 *
 * <p>The server stops with {@link #close()}, and with this program at the latest, also where that is
 * killed: what it acknowledged is on disk by then. Until the last of the program's own shutdown hooks
 * has run it goes on serving, so that hosts can say goodbye to it. One that ends by itself is started again where that is
 * asked for ({@link Builder#keepRunning}). Safe for use by several threads.
 */
public final class EmbeddedRegistryServer implements AutoCloseable {
    /** How long a start may take unless {@link Builder#startTimeout} says otherwise. */
    public static final Duration START_TIMEOUT = Duration.ofSeconds(30);

    /** How long it may take to stop by itself; then it is killed, which loses nothing that was acknowledged. */
    public static final Duration STOP_TIMEOUT = Duration.ofSeconds(10);

    /** Times that other ports are tried when those that were free a moment ago are not any more. */
    static final int PORT_TRIES_MAX = 5;

    /** Times that a server that ended by itself is started again, unless it ran for {@link #FORGIVEN_AFTER} meanwhile. */
    public static final int RESTARTS_MAX = 5;

    /** Whoever ran for so long has not failed at its start. */
    static final Duration FORGIVEN_AFTER = Duration.ofMinutes(1);

    /** Before the first of them; twice as long before each further one. */
    private static final Duration RESTART_PAUSE = Duration.ofMillis(500);

    private static final AtomicInteger WATCHES = new AtomicInteger();

    private static final Logger LOGGER = LoggerFactory.getLogger(EmbeddedRegistryServer.class);

    private final Builder options;
    private final Path directory;
    private final boolean temporary;
    private final Thread atExit;
    /** Held by whoever starts or stops it, however long that takes; nobody needs it to ask how it is. */
    private final Object lifecycle = new Object();
    private volatile ServerProcess process;
    private volatile Ports ports;
    private volatile Thread watch;
    private boolean closed;

    /** Starts one on free ports with an empty data directory that is deleted when it is closed. */
    public EmbeddedRegistryServer() {
        this(builder());
        start();
    }

    private EmbeddedRegistryServer(Builder options) {
        this.options = new Builder(options);
        this.temporary = options.directory == null;
        try {
            this.directory = temporary
                ? Files.createTempDirectory("vivarium-embedded-")
                : Files.createDirectories(options.directory.toAbsolutePath().normalize());
        } catch (IOException failed) {
            throw new EmbeddedRegistryException(Reason.DIRECTORY_UNUSABLE, "the data directory "
                + (temporary ? "below java.io.tmpdir" : options.directory) + " cannot be made: " + failed
                + "; choose another one, or give this user the permission", failed);
        }
        // A data directory that is kept needs no hook: its server ends by itself, after everybody's.
        this.atExit = temporary ? new Thread(this::shutDown, "vivarium-embedded-exit") : null;
        if (temporary) {
            Runtime.getRuntime().addShutdownHook(atExit);
        }
    }

    /** To say more about it. */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Starts it and waits until it serves; does nothing if it runs. The ports are those of the last
     * start in this directory, as far as they are free and no others were asked for.
     *
     * @throws EmbeddedRegistryException it cannot be had: the message says what to do, and nothing is left running
     */
    public void start() {
        synchronized (lifecycle) {
            if (closed) {
                throw new EmbeddedRegistryException(Reason.CLOSED, "this embedded registry was closed: make another one");
            }
            if (isRunning()) {
                return;
            }
            boolean started = false;
            try {
                startOnce(options.ports, ports == null ? Ports.read(directory) : ports);
                started = true;
            } finally {
                if (!started && temporary && ports == null) {
                    close();
                }
            }
            if (options.keepRunning) {
                interruptWatch();
                ServerProcess watched = process;
                watch = new Thread(() -> keepRunning(watched), "vivarium-embedded-watch-" + WATCHES.incrementAndGet());
                watch.setDaemon(true);
                watch.start();
            }
        }
    }

    /** {@code before}: the ports that are taken where others were not asked for, if they are free. */
    private void startOnce(Ports wanted, Ports before) {
        if (!Files.isWritable(directory)) {
            throw new EmbeddedRegistryException(Reason.DIRECTORY_UNUSABLE, "the data directory " + directory
                + " cannot be written: choose another one, or give this user the permission");
        }
        Path binary = new Binary(options.binary).find(directory);
        for (int turn = 1;; turn++) {
            try {
                Ports chosen = Ports.choose(wanted, turn == 1 ? before : null);
                ServerProcess candidate = ServerProcess.start(binary, directory, chosen, options.settings);
                if (await(candidate)) {
                    process = candidate;
                    if (wanted != ports) {
                        chosen.write(directory);
                        ports = chosen;
                    }
                    break;
                }
                boolean door = candidate.exitValue() == ServerProcess.EXIT_DOOR;
                List<Integer> taken = wanted.taken();
                if (!door || !taken.isEmpty() || turn == PORT_TRIES_MAX) {
                    throw ended(candidate, taken);
                }
            } catch (IOException failed) {
                // It may run already, and its ports be what cannot be written down.
                stopProcess();
                throw new EmbeddedRegistryException(Reason.DIRECTORY_UNUSABLE,
                    "the embedded registry in " + directory + " cannot be started: " + failed, failed);
            }
        }
        LOGGER.info("embedded registry in {}: ZooKeeper protocol at {}, native API at {}, health at http://{}:{}/readyz",
            directory, getConnectString(), getNativeAddress(), Ports.HOST, ports.admin);
    }

    /** Starts it again whenever it has ended by itself, where it was: clients find it at the same ports. */
    private void keepRunning(ServerProcess first) {
        ServerProcess watched = first;
        int tries = 0;
        try {
            for (long began = System.nanoTime();; began = System.nanoTime()) {
                int code = watched.awaitEnd();
                if (process != watched || isExiting()) {
                    return;
                }
                if (System.nanoTime() - began > FORGIVEN_AFTER.toNanos()) {
                    tries = 0;
                }
                LOGGER.warn("the embedded registry in {} has ended by itself with exit code {} (above 128: a signal); it is "
                    + "started again", directory, code);
                do {
                    if (tries == RESTARTS_MAX) {
                        LOGGER.error("the embedded registry in {} is not started again any more: {} tries did not help. See "
                            + "what it said before, and docs/exit-codes.md for its exit code; then restart this host",
                            directory, tries);
                        return;
                    }
                    Thread.sleep(options.restartPause.toMillis() << tries++);
                    watched = startAgain(watched);
                    if (watched == null) {
                        return;
                    }
                } while (!watched.isAlive());
            }
        } catch (InterruptedException stopped) {
            // Somebody stops it, or has closed it.
        } catch (RuntimeException | Error fault) {
            LOGGER.error("the embedded registry in {} is not started again if it ends: restart this host", directory, fault);
        }
    }

    /** What runs now; {@code ended} where it could not be started; null where somebody else has seen to it. */
    private ServerProcess startAgain(ServerProcess ended) throws InterruptedException {
        synchronized (lifecycle) {
            if (process != ended) {
                return null;
            }
            try {
                startOnce(ports, null);
            } catch (EmbeddedRegistryException failed) {
                if (failed.reason() == Reason.INTERRUPTED) {
                    throw new InterruptedException();
                }
                LOGGER.warn("the embedded registry in {} could not be started again: {}", directory, failed.getMessage());
                process = ended;
            }
            return process;
        }
    }

    /** Whether this program ends: its server may have been told so, too, and has nobody left to serve. */
    private static boolean isExiting() {
        Thread none = new Thread(() -> { }, "vivarium-embedded-exit");
        try {
            Runtime.getRuntime().addShutdownHook(none);
            Runtime.getRuntime().removeShutdownHook(none);
            return false;
        } catch (IllegalStateException exiting) {
            return true;
        }
    }

    private boolean await(ServerProcess candidate) {
        boolean ready = false;
        try {
            ready = candidate.awaitReady(options.startTimeout);
        } catch (InterruptedException asked) {
            Thread.currentThread().interrupt();
            throw new EmbeddedRegistryException(Reason.INTERRUPTED,
                "interrupted while the embedded registry in " + directory + " was starting; it is stopped", asked);
        } finally {
            if (!ready) {
                candidate.stop(Duration.ZERO);
            }
        }
        return ready;
    }

    private EmbeddedRegistryException ended(ServerProcess candidate, List<Integer> taken) {
        int code = candidate.exitValue();
        String end = System.lineSeparator() + "The end of its log:" + System.lineSeparator() + candidate.logEnd();
        String what = "the embedded registry in " + directory + " ended with exit code " + code + ": ";
        switch (code) {
            case ServerProcess.EXIT_NOT_OURS:
                return new EmbeddedRegistryException(Reason.DIRECTORY_IN_USE, what + "another process uses this directory, or it "
                    + "belongs to another member. Give each host a data directory of its own, or have the others connect to "
                    + "this registry by its endpoint." + end);
            case ServerProcess.EXIT_DOOR:
                return new EmbeddedRegistryException(Reason.PORT_TAKEN, what + (taken.isEmpty() ? "its ports are" : "port "
                    + taken + " is") + " taken on " + Ports.HOST + ". End the process that has it (`ss -ltnp`), choose another "
                    + "port, or none, for one that is free." + end);
            case ServerProcess.EXIT_CONFIGURATION:
                return new EmbeddedRegistryException(Reason.ENDED_AT_START, what + "it refuses its settings; `vivarium settings` "
                    + "lists them." + end);
            case ServerProcess.EXIT_STORAGE:
                return new EmbeddedRegistryException(Reason.ENDED_AT_START, what + "its disk or its data cannot be trusted; nothing "
                    + "was deleted. See \"A damaged data directory\" in docs/operations.md." + end);
            default:
                return new EmbeddedRegistryException(Reason.ENDED_AT_START, what + "see docs/exit-codes.md; a code above 128 is a "
                    + "signal." + end);
        }
    }

    /** Stops it and keeps its data and its ports for {@link #start()}; does nothing if it does not run. */
    public void stop() {
        Thread watching = interruptWatch();
        synchronized (lifecycle) {
            stopProcess();
        }
        awaitEnd(watching);
    }

    /** It may be starting it again just now. */
    private Thread interruptWatch() {
        Thread watching = watch;
        if (watching != null) {
            watching.interrupt();
        }
        return watching;
    }

    private void stopProcess() {
        ServerProcess running = process;
        if (running != null) {
            process = null;
            running.stop(STOP_TIMEOUT);
        }
    }

    private static void awaitEnd(Thread watching) {
        if (watching == null || watching == Thread.currentThread()) {
            return;
        }
        try {
            watching.join(STOP_TIMEOUT.toMillis());
        } catch (InterruptedException asked) {
            Thread.currentThread().interrupt();
        }
    }

    /** Stops and starts it: sessions live on, and clients find it at the same ports. */
    public void restart() {
        Thread watching = interruptWatch();
        synchronized (lifecycle) {
            stopProcess();
            start();
        }
        awaitEnd(watching);
    }

    /** Stops it for good, and deletes a temporary data directory. Closing again does nothing. */
    @Override
    public void close() {
        shutDown();
        if (atExit != null) {
            try {
                Runtime.getRuntime().removeShutdownHook(atExit);
            } catch (IllegalStateException exiting) {
                LOGGER.debug("closed while the program ends", exiting);
            }
        }
    }

    private void shutDown() {
        Thread watching = interruptWatch();
        synchronized (lifecycle) {
            if (closed) {
                return;
            }
            closed = true;
            stopProcess();
            if (temporary) {
                delete(directory);
            }
        }
        awaitEnd(watching);
    }

    /** Whether the server runs. One that ended by itself has said why in the log. */
    public boolean isRunning() {
        ServerProcess running = process;
        return running != null && running.isAlive();
    }

    /** {@code host:port} of the ZooKeeper protocol, for Curator and other ZooKeeper clients. */
    public String getConnectString() {
        return Ports.HOST + ":" + started().client;
    }

    /** {@code host:port} of the native API, for the vivarium client. */
    public String getNativeAddress() {
        return Ports.HOST + ":" + started().nativeApi;
    }

    /** {@code host:port} of health, metrics and status over HTTP. */
    public String getAdminAddress() {
        return Ports.HOST + ":" + started().admin;
    }

    /** Where its data are. */
    public Path getDataDirectory() {
        return directory;
    }

    private Ports started() {
        Ports known = ports;
        if (known == null) {
            throw new IllegalStateException("the embedded registry was not started");
        }
        return known;
    }

    private static void delete(Path directory) {
        try {
            Files.walkFileTree(directory, new SimpleFileVisitor<Path>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                    Files.delete(file);
                    return FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult postVisitDirectory(Path visited, IOException failed) throws IOException {
                    if (failed != null) {
                        throw failed;
                    }
                    Files.delete(visited);
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (IOException left) {
            LOGGER.warn("the temporary directory {} could not be deleted: {}", directory, left.toString());
        }
    }

    /** What an embedded server is to be like. */
    public static final class Builder {
        private Path directory;
        private Path binary;
        private Ports ports = Ports.of(0, 0, 0, 0);
        private Duration startTimeout = START_TIMEOUT;
        private boolean keepRunning;
        private Duration restartPause = RESTART_PAUSE;
        private final Map<String, String> settings = new LinkedHashMap<>();

        private Builder() {
        }

        private Builder(Builder other) {
            directory = other.directory;
            binary = other.binary;
            ports = other.ports;
            startTimeout = other.startTimeout;
            keepRunning = other.keepRunning;
            restartPause = other.restartPause;
            settings.putAll(other.settings);
        }

        /** Where its data are kept; made if it is not there. Without one, a temporary directory that goes with the server. */
        public Builder dataDirectory(Path directory) {
            this.directory = directory;
            return this;
        }

        /** The program to start, instead of {@code VIVARIUM_BIN}, the packaged one, or one on the {@code PATH}. */
        public Builder binary(Path binary) {
            this.binary = binary;
            return this;
        }

        /** Port of the ZooKeeper protocol; 0 for one that is free. */
        public Builder clientPort(int port) {
            ports = Ports.of(checked(port), ports.nativeApi, ports.admin, ports.peer);
            return this;
        }

        /** Port of the native API; 0 for one that is free. */
        public Builder nativePort(int port) {
            ports = Ports.of(ports.client, checked(port), ports.admin, ports.peer);
            return this;
        }

        /** Port of health and metrics; 0 for one that is free. */
        public Builder adminPort(int port) {
            ports = Ports.of(ports.client, ports.nativeApi, checked(port), ports.peer);
            return this;
        }

        private static int checked(int port) {
            if (port < 0 || port > 65_535) {
                throw new IllegalArgumentException("a port is 0 to 65535, not " + port);
            }
            return port;
        }

        /** How long a start may take. */
        public Builder startTimeout(Duration timeout) {
            if (timeout.isNegative() || timeout.isZero()) {
                throw new IllegalArgumentException("a start timeout is more than nothing, not " + timeout);
            }
            this.startTimeout = timeout;
            return this;
        }

        /**
         * Whether it is started again, with its data and at its ports, when it ends without having been stopped; not by
         * default. After {@value EmbeddedRegistryServer#RESTARTS_MAX} times in a row it is left, and the log says what to do.
         */
        public Builder keepRunning(boolean keepRunning) {
            this.keepRunning = keepRunning;
            return this;
        }

        Builder restartPause(Duration pause) {
            this.restartPause = pause;
            return this;
        }

        /** Any setting of the server, as {@code vivarium settings} lists them. */
        public Builder setting(String key, String value) {
            settings.put(Objects.requireNonNull(key, "key"), Objects.requireNonNull(value, "value"));
            return this;
        }

        /** One that is not started yet. */
        public EmbeddedRegistryServer build() {
            return new EmbeddedRegistryServer(this);
        }

        /** One that runs. */
        public EmbeddedRegistryServer start() {
            EmbeddedRegistryServer server = build();
            server.start();
            return server;
        }
    }
}
