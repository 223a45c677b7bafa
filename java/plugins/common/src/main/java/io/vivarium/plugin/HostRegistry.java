package io.vivarium.plugin;

import io.vivarium.client.ConnectionListener;
import io.vivarium.client.ConnectionState;
import io.vivarium.client.Fence;
import io.vivarium.client.Lifetime;
import io.vivarium.client.LockHandle;
import io.vivarium.client.LockMode;
import io.vivarium.client.OnConflict;
import io.vivarium.client.Reason;
import io.vivarium.client.Registration;
import io.vivarium.client.VivariumClient;
import io.vivarium.client.VivariumException;
import io.vivarium.embedded.EmbeddedRegistryException;
import io.vivarium.embedded.EmbeddedRegistryServer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Paths;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * The contract that the registries of DolphinScheduler and StreamPark share, on the native API.
 *
 * <p>Keys are paths below a namespace, the same entries that the hosts' ZooKeeper plugins make there, and locks are
 * the same locks. Whatever fails is the host's own exception. Safe for use by several threads.
 */
public final class HostRegistry implements RegistryBackend {
    /** Times that a value is set when the entry comes and goes with another lifetime meanwhile. */
    static final int PUT_TRIES_MAX = 10;

    /** Of a key in a message. */
    static final int KEY_CHARACTERS_SHOWN = 256;

    /** A state by the clock alone, after a pause of the whole process, is told to nobody. */
    private static final long LOOK_AGAIN_MS = 1_000;

    /** Listeners to the connection: those of a client, but for the one of this class. */
    static final int LISTENERS_MAX = 1_023;

    /** A server grants sessions of so many of its ticks, unless its settings say otherwise. */
    private static final long TICKS_GRANTED = 20;
    private static final long TICK_MS = 2_000;

    /** What a call has at least for an answer that is on its way. */
    private static final Duration SHORTEST = Duration.ofMillis(100);

    /** Makes the exception that the host expects. */
    @FunctionalInterface
    public interface Failure {
        RuntimeException of(String message, Throwable cause);
    }

    private final EmbeddedRegistryProperties properties;
    private final String root;
    private final Failure failure;
    private final Object lifecycle = new Object();
    /** Guards what follows, and is notified with each state; never held while anybody is called. */
    private final Object monitor = new Object();
    private final List<Consumer<State>> listeners = new ArrayList<>();
    private final Map<String, List<Subscription>> subscriptions = new HashMap<>();
    private final Map<Holder, LockHandle> locks = new ConcurrentHashMap<>();
    private EmbeddedRegistryServer server;
    private VivariumClient client;
    private boolean closed;

    /** Nothing is done before {@link #start}. */
    public HostRegistry(EmbeddedRegistryProperties properties, String defaultNamespace, Failure failure) {
        this.properties = properties;
        String namespace = properties.getNamespace() == null ? defaultNamespace : properties.getNamespace();
        String trimmed = namespace.replaceAll("^/+|/+$", "");
        this.root = trimmed.isEmpty() ? "" : "/" + trimmed;
        this.failure = failure;
    }

    /** Connects, and starts the embedded server before that where there are no endpoints. Starting again does nothing. */
    public void start() {
        synchronized (lifecycle) {
            synchronized (monitor) {
                if (closed) {
                    throw failure.of("the registry is closed", null);
                }
                if (client != null) {
                    return;
                }
            }
            EmbeddedRegistryServer started = null;
            try {
                properties.check();
                List<String> endpoints = properties.getEndpoints();
                if (endpoints == null || endpoints.isEmpty()) {
                    started = startServer();
                    endpoints = Collections.singletonList(started.getNativeAddress());
                }
                open(connect(endpoints), started);
                started = null;
            } catch (EmbeddedRegistryException error) {
                throw failure.of("the embedded registry cannot be started: " + error.getMessage(), error);
            } catch (VivariumException | IllegalArgumentException error) {
                throw failure.of("cannot connect to the registry: " + error.getMessage(), error);
            } finally {
                if (started != null) {
                    started.close();
                }
            }
        }
    }

    private EmbeddedRegistryServer startServer() {
        EmbeddedRegistryProperties.Server options = properties.getServer();
        EmbeddedRegistryServer.Builder builder = EmbeddedRegistryServer.builder()
            .dataDirectory(Paths.get(options.getDataDirectory()))
            .clientPort(options.getClientPort())
            .nativePort(options.getNativePort())
            .adminPort(options.getAdminPort())
            .startTimeout(options.getStartTimeout())
            .keepRunning(true);
        if (options.getBinary() != null) {
            builder.binary(Paths.get(options.getBinary()));
        }
        long granted = TICKS_GRANTED * tickMs(options.getSettings().get("timing.tick_ms"));
        if (properties.getSessionTimeout().toMillis() > granted) {
            builder.setting("timing.session_timeout_ms_max", String.valueOf(properties.getSessionTimeout().toMillis()));
        }
        options.getSettings().forEach(builder::setting);
        return builder.start();
    }

    private static long tickMs(String setting) {
        try {
            return setting == null ? TICK_MS : Long.parseLong(setting.trim());
        } catch (NumberFormatException wrong) {
            // The server says so.
            return TICK_MS;
        }
    }

    private VivariumClient connect(List<String> endpoints) {
        VivariumClient.Builder builder = VivariumClient.builder()
            .endpoints(endpoints)
            .clientId(properties.getClientId())
            .sessionTimeout(properties.getSessionTimeout())
            .heartbeatInterval(properties.getHeartbeatRefreshInterval())
            .requestTimeout(properties.getConnectionTimeout())
            .connectTimeout(properties.getBlockUntilConnected());
        if (properties.getUsername() != null) {
            builder.credentials(properties.getUsername(), properties.getPassword());
        }
        if (properties.getToken() != null) {
            builder.token(properties.getToken());
        }
        if (properties.getTls().isEnabled()) {
            builder.tls(properties.getTls().client());
        }
        return builder.build();
    }

    private void open(VivariumClient connected, EmbeddedRegistryServer started) {
        boolean opened = false;
        try {
            connected.addConnectionListener(state -> {
                synchronized (monitor) {
                    monitor.notifyAll();
                }
            });
            synchronized (monitor) {
                // Adding calls nobody: each is told on a thread of the client.
                for (Consumer<State> listener : listeners) {
                    connected.addConnectionListener(new Told(listener));
                }
                client = connected;
                server = started;
            }
            opened = true;
        } finally {
            if (!opened) {
                connected.close();
            }
        }
    }

    /** Turns the client's states into those of a host, for one listener. */
    private static final class Told implements ConnectionListener {
        private final Consumer<State> listener;
        private boolean connectedBefore;

        Told(Consumer<State> listener) {
            this.listener = listener;
        }

        @Override
        public void stateChanged(ConnectionState state) {
            switch (state) {
                case CONNECTED:
                    listener.accept(connectedBefore ? State.RECONNECTED : State.CONNECTED);
                    connectedBefore = true;
                    break;
                case RECONNECTED:
                    connectedBefore = true;
                    listener.accept(State.RECONNECTED);
                    break;
                case SUSPENDED:
                    listener.accept(State.SUSPENDED);
                    break;
                default:
                    connectedBefore = true;
                    listener.accept(State.DISCONNECTED);
            }
        }
    }

    /** Whether the session is known to live. */
    public boolean isConnected() {
        VivariumClient connected;
        synchronized (monitor) {
            connected = client;
        }
        return connected != null && connected.state().isConnected();
    }

    /** Waits until the session is known to live; for ever with a timeout of nothing or less. */
    public void connectUntilTimeout(Duration timeout) {
        boolean limited = !timeout.isZero() && !timeout.isNegative();
        long begin = System.nanoTime();
        try {
            synchronized (monitor) {
                for (VivariumClient connected = client(); !connected.state().isConnected(); connected = client()) {
                    long left = limited ? timeout.toMillis() - TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin) : LOOK_AGAIN_MS;
                    if (left <= 0) {
                        throw failure.of("Cannot connect to registry in " + timeout.getSeconds() + " s", null);
                    }
                    monitor.wait(Math.min(left, LOOK_AGAIN_MS));
                }
            }
        } catch (InterruptedException asked) {
            Thread.currentThread().interrupt();
            throw failure.of("interrupted while waiting for the registry", asked);
        }
    }

    /** Tells each state; the one that there is at once, if the registry was started, else once it is. 1,023 listeners at most. */
    public void addConnectionStateListener(Consumer<State> listener) {
        Objects.requireNonNull(listener, "listener");
        synchronized (monitor) {
            if (listeners.size() >= LISTENERS_MAX) {
                throw failure.of("a registry has " + LISTENERS_MAX + " connection listeners at most", null);
            }
            if (client != null) {
                call("listen to the connection", null, () -> {
                    client.addConnectionListener(new Told(listener));
                    return null;
                });
            }
            listeners.add(listener);
        }
    }

    /** Tells of each entry at and below a path that is there, then of each change, in order and once. */
    public void subscribe(String key, Consumer<Change> listener) {
        Objects.requireNonNull(listener, "listener");
        String path = path(key);
        VivariumClient connected = client();
        Subscription subscription = call("subscribe to", key, () -> new Subscription(connected, root, key, path, listener));
        boolean late;
        synchronized (monitor) {
            late = closed;
            if (!late) {
                subscriptions.computeIfAbsent(key, any -> new ArrayList<>()).add(subscription);
            }
        }
        if (late) {
            subscription.close();
            throw failure.of("the registry is closed", null);
        }
    }

    /** Ends what was subscribed to with this path; its listeners are not called any more. */
    public void unsubscribe(String key) {
        List<Subscription> ended;
        synchronized (monitor) {
            ended = subscriptions.remove(key);
        }
        if (ended != null) {
            ended.forEach(Subscription::close);
        }
    }

    /** The value of an entry; fails if there is none. */
    public String get(String key) {
        return call("get", key, () -> client().registry().get(path(key)).text());
    }

    /** Sets the value of an entry, which is made if it is not there, and its parents too. */
    public void put(String key, String value, boolean deleteOnDisconnect) {
        call("put", key, () -> {
            if (value == null) {
                throw failure.of("cannot put " + key + ": there is no value", null);
            }
            String path = path(key);
            byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
            Registration wanted = Registration.of(path)
                .value(bytes)
                .lifetime(deleteOnDisconnect ? Lifetime.SESSION : Lifetime.PERSISTENT)
                .onConflict(OnConflict.TAKE_OVER);
            for (int turn = 1;; turn++) {
                try {
                    return client().registry().register(wanted);
                } catch (VivariumException error) {
                    if (!error.is(Reason.KIND_MISMATCH)) {
                        throw error;
                    }
                }
                // As with the hosts' ZooKeeper plugins, what is there keeps its lifetime.
                try {
                    return client().registry().update(path, bytes);
                } catch (VivariumException error) {
                    if (!error.is(Reason.NO_ENTRY) || turn == PUT_TRIES_MAX) {
                        throw error;
                    }
                }
            }
        });
    }

    /** Removes an entry with everything below it; that there is none is no error. */
    public void delete(String key) {
        call("delete", key, () -> client().registry().deleteAll(path(key)));
    }

    /** The names right below a key, ascending; fails if there is no such key. */
    public List<String> children(String key) {
        return call("list the children of", key, () -> client().registry().children(path(key)));
    }

    public boolean exists(String key) {
        return call("look for", key, () -> client().registry().exists(path(key)));
    }

    /** Waits until the calling thread holds the lock, however long that takes; true. */
    public boolean acquireLock(String key) {
        return acquire(key, null);
    }

    /** Waits so long at most; false if the lock was not to be had. */
    public boolean acquireLock(String key, long timeoutMs) {
        return acquire(key, Duration.ofMillis(Math.max(0, timeoutMs)));
    }

    private boolean acquire(String key, Duration wait) {
        return call("lock", key, () -> {
            Holder holder = new Holder(Thread.currentThread(), path(key));
            Duration answer = properties.getConnectionTimeout();
            Duration left = wait;
            LockHandle before = locks.get(holder);
            if (before != null) {
                long begin = System.nanoTime();
                if (isHeldStill(before)) {
                    return true;
                }
                // It went with its session: the thread stands in line again.
                locks.remove(holder);
                Duration gone = Duration.ofNanos(System.nanoTime() - begin);
                answer = longer(answer.minus(gone), SHORTEST);
                left = wait == null ? null : longer(wait.minus(gone), Duration.ZERO);
            }
            Optional<LockHandle> handle = left == null
                ? Optional.of(client().locks().acquire(holder.path))
                : client().locks().tryAcquire(holder.path, LockMode.EXCLUSIVE, left, answer);
            // Of threads that ended with a lock, which their session has as long as it lives.
            locks.keySet().removeIf(other -> !other.thread.isAlive());
            handle.ifPresent(held -> locks.put(holder, held));
            return handle.isPresent();
        });
    }

    private static Duration longer(Duration one, Duration other) {
        return one.compareTo(other) > 0 ? one : other;
    }

    /** Whether a lock that was held is; while the connection is suspended nobody can tell, for so long as a call may take. */
    private boolean isHeldStill(LockHandle before) {
        long begin = System.nanoTime();
        synchronized (monitor) {
            while (!before.isHeld() && !before.awaitLost(Duration.ZERO)) {
                Duration left = properties.getConnectionTimeout().minus(Duration.ofNanos(System.nanoTime() - begin));
                if (closed || left.toMillis() <= 0) {
                    throw failure.of("cannot lock " + shown(before.lock()) + ": it is not known whether it is held still; the "
                        + "connection is " + (closed ? "closed" : "suspended"), null);
                }
                try {
                    monitor.wait(Math.min(left.toMillis(), LOOK_AGAIN_MS));
                } catch (InterruptedException asked) {
                    Thread.currentThread().interrupt();
                    throw failure.of("interrupted while waiting for the lock " + shown(before.lock()), asked);
                }
            }
        }
        return before.isHeld();
    }

    /**
     * Gives back what the calling thread holds, however often it asked for it. False where it does not hold this
     * lock; true, as if it had been given back, where it holds none at all, as the hosts expect it.
     */
    public boolean releaseLock(String key) {
        return call("unlock", key, () -> {
            Thread thread = Thread.currentThread();
            LockHandle handle = locks.remove(new Holder(thread, path(key)));
            if (handle == null) {
                return locks.keySet().stream().noneMatch(holder -> holder.thread == thread);
            }
            handle.release();
            return true;
        });
    }

    /** The fence of a lock that the calling thread holds, for writes that must not outlive it. */
    public Fence fence(String key) {
        LockHandle handle = locks.get(new Holder(Thread.currentThread(), path(key)));
        if (handle == null) {
            throw failure.of("this thread does not hold " + key, null);
        }
        return handle.fence();
    }

    /** The client, for what the host's own contract has no words for. */
    public VivariumClient client() {
        synchronized (monitor) {
            if (closed) {
                throw failure.of("the registry is closed", null);
            }
            if (client == null) {
                throw failure.of("the registry was not started", null);
            }
            return client;
        }
    }

    /** The embedded server; nothing where there are endpoints. */
    public Optional<EmbeddedRegistryServer> server() {
        synchronized (monitor) {
            return Optional.ofNullable(server);
        }
    }

    /** The path of a key in the ensemble. */
    public String path(String key) {
        if (key == null || !key.startsWith("/")) {
            throw failure.of("a key begins with \"/\", and not as \"" + key + "\"", null);
        }
        String path = key.equals("/") ? root : root + key;
        return path.isEmpty() ? "/" : path;
    }

    /** Who holds a lock. */
    private static final class Holder {
        final Thread thread;
        final String path;

        Holder(Thread thread, String path) {
            this.thread = thread;
            this.path = path;
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Holder && ((Holder) other).thread == thread && ((Holder) other).path.equals(path);
        }

        @Override
        public int hashCode() {
            return 31 * System.identityHashCode(thread) + path.hashCode();
        }
    }

    private <T> T call(String verb, String key, Supplier<T> call) {
        try {
            return call.get();
        } catch (VivariumException error) {
            throw failure.of("cannot " + verb + (key == null ? "" : " " + shown(key)) + ": " + error.getMessage(), error);
        }
    }

    private static String shown(String key) {
        return key.length() > KEY_CHARACTERS_SHOWN ? key.substring(0, KEY_CHARACTERS_SHOWN) + "…" : key;
    }

    /** Ends the session, with all that is bound to it, and the embedded server. Closing again does nothing. */
    @Override
    public void close() {
        VivariumClient ended;
        EmbeddedRegistryServer stopped;
        List<Subscription> open = new ArrayList<>();
        synchronized (lifecycle) {
            synchronized (monitor) {
                if (closed) {
                    return;
                }
                closed = true;
                ended = client;
                stopped = server;
                subscriptions.values().forEach(open::addAll);
                subscriptions.clear();
                monitor.notifyAll();
            }
            open.forEach(Subscription::close);
            try {
                if (ended != null) {
                    ended.close();
                }
            } finally {
                locks.clear();
                if (stopped != null) {
                    stopped.close();
                }
            }
        }
    }
}
