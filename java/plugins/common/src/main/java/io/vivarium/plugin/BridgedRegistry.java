package io.vivarium.plugin;

import io.vivarium.client.Lifetime;
import io.vivarium.client.OnConflict;
import io.vivarium.client.Reason;
import io.vivarium.client.Registration;
import io.vivarium.client.VivariumException;
import io.vivarium.plugin.BridgeConnection.Side;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A host's registry while its nodes move from one to the other: it writes to both, reads from one of them, and locks
 * in both. {@code docs/migration.md} has the sequence, and what holds at each step.
 */
public final class BridgedRegistry implements RegistryBackend {
    /** Persistent entries that a start looks at, to copy them. */
    static final int COPIED_MAX = 10_000;

    /** Plugins count by seconds, and take less than one for no limit. */
    private static final Duration CONNECT_MIN = Duration.ofSeconds(1);
    private static final long LOOK_AGAIN_MS = 100;
    private static final String NODES = "/nodes";

    private final RegistryBackend old;
    private final HostRegistry embedded;
    private final EmbeddedRegistryProperties properties;
    private final HostRegistry.Failure failure;
    private final RegistryBackend read;
    private final BridgeConnection connection;
    private final BridgeEntries entries;
    private final BridgeLocks locks;
    private final Object lifecycle = new Object();
    private volatile boolean started;
    private volatile boolean closed;

    BridgedRegistry(RegistryBackend old, HostRegistry embedded, EmbeddedRegistryProperties properties, HostRegistry.Failure failure) {
        this.old = old;
        this.embedded = embedded;
        this.properties = properties;
        this.failure = failure;
        this.read = properties.getBridge().getReadFrom() == EmbeddedRegistryProperties.ReadFrom.OLD ? old : embedded;
        this.connection = new BridgeConnection(failure);
        this.entries = new BridgeEntries(old, embedded, connection, failure, BridgeEntries.TRY_AGAIN_MS);
        this.locks = new BridgeLocks(old, embedded, connection, failure);
    }

    /** What a plugin hands its calls to: {@code embedded} itself, or the bridge to it from {@code old}. */
    public static RegistryBackend of(HostRegistry embedded, RegistryBackend old, EmbeddedRegistryProperties properties,
            HostRegistry.Failure failure) {
        boolean wanted = properties.getBridge().getFrom() != null;
        if (wanted != (old != null)) {
            throw failure.of(wanted ? "registry.embedded.bridge is for hosts whose registry Spring makes"
                : "registry.embedded.bridge.from is not given", null);
        }
        return wanted ? new BridgedRegistry(old, embedded, properties, failure) : embedded;
    }

    /** Starts both, the old one first. A start that failed is final: nothing is left of either. */
    @Override
    public void start() {
        synchronized (lifecycle) {
            requireOpen();
            if (started) {
                return;
            }
            boolean done = false;
            try {
                properties.check();
                embedded.addConnectionStateListener(state -> connection.told(Side.EMBEDDED, state));
                old.start();
                old.addConnectionStateListener(state -> connection.told(Side.OLD, state));
                Duration limit = properties.getBlockUntilConnected();
                old.connectUntilTimeout(limit.compareTo(CONNECT_MIN) < 0 ? CONNECT_MIN : limit);
                embedded.start();
                requireNobodyUnseen();
                if (read == old) {
                    copy(properties.getBridge().getCopy());
                }
                entries.start();
                connection.start(entries::isSettled);
                started = true;
                done = true;
            } catch (IllegalArgumentException wrong) {
                throw failure.of("cannot bridge two registries: " + wrong.getMessage(), wrong);
            } finally {
                if (!done) {
                    close();
                }
            }
        }
    }

    /**
     * Who reads from one registry does not see nodes that are in the other one alone, because they have not come into
     * the bridge yet, or have left it at its other end. What is left of a session that just ended is waited for.
     */
    private void requireNobodyUnseen() {
        RegistryBackend other = read == old ? embedded : old;
        Duration session = properties.getSessionTimeout();
        Duration limit = properties.getBlockUntilConnected();
        long nanos = (session.compareTo(limit) > 0 ? session : limit).toNanos();
        long begin = System.nanoTime();
        for (Set<String> unseen = unseen(other); !unseen.isEmpty(); unseen = unseen(other)) {
            if (System.nanoTime() - begin > nanos) {
                throw failure.of("registry.embedded.bridge.read-from is " + properties.getBridge().getReadFrom().name().toLowerCase(Locale.ROOT)
                    + ", and these nodes are in the other registry alone, so that they would be taken for dead: " + unseen
                    + ". All nodes are to finish a step before one begins the next", null);
            }
            pause();
        }
    }

    private Set<String> unseen(RegistryBackend other) {
        Set<String> nodes = nodes(other);
        if (!nodes.isEmpty()) {
            nodes.removeAll(nodes(read));
        }
        return nodes;
    }

    /** As these hosts register them, below the kind of node that each is. */
    private Set<String> nodes(RegistryBackend registry) {
        Set<String> nodes = new TreeSet<>();
        for (String kind : below(registry, NODES)) {
            below(registry, NODES + "/" + kind).forEach(name -> nodes.add(NODES + "/" + kind + "/" + name));
        }
        return nodes;
    }

    /** Copies entries and what is below them where they are not there yet; all or none of them are looked at. */
    private void copy(List<String> keys) {
        List<String> found = new ArrayList<>();
        keys.forEach(key -> find(key, found));
        for (String key : found) {
            if (!embedded.exists(key)) {
                create(key, value(key));
                // Removed meanwhile by a node that does not know of this registry.
                if (!old.exists(key)) {
                    embedded.delete(key);
                }
            }
        }
    }

    private void find(String key, List<String> found) {
        if (old.exists(key)) {
            if (found.size() == COPIED_MAX) {
                throw failure.of("registry.embedded.bridge.copy is of more than " + COPIED_MAX + " entries", null);
            }
            found.add(key);
        }
        below(old, key).forEach(name -> find(key + "/" + name, found));
    }

    private void create(String key, String value) {
        try {
            embedded.client().registry().register(Registration.of(embedded.path(key)).value(value)
                .lifetime(Lifetime.PERSISTENT).onConflict(OnConflict.FAIL));
        } catch (VivariumException error) {
            if (!error.is(Reason.ALREADY_REGISTERED)) {
                throw failure.of("cannot copy " + key + ": " + error.getMessage(), error);
            }
        }
    }

    /** A registry that answers from a copy of its own has none of it for a moment after its start. */
    private String value(String key) {
        long begin = System.nanoTime();
        for (String value = old.get(key);; value = old.get(key)) {
            if (value != null) {
                return value;
            }
            if (System.nanoTime() - begin > properties.getBlockUntilConnected().toNanos()) {
                throw failure.of("cannot copy " + key + ": the old registry does not tell its value", null);
            }
            pause();
        }
    }

    /** Those with tables may have entries below one that is not there; those with trees have not, and say so. */
    private static Collection<String> below(RegistryBackend registry, String key) {
        try {
            return registry.children(key);
        } catch (RuntimeException none) {
            if (registry.exists(key)) {
                throw none;
            }
            return Collections.emptyList();
        }
    }

    private void pause() {
        try {
            Thread.sleep(LOOK_AGAIN_MS);
        } catch (InterruptedException asked) {
            Thread.currentThread().interrupt();
            throw failure.of("interrupted while waiting for the registry", asked);
        }
    }

    @Override
    public boolean isConnected() {
        return !closed && connection.isUp(Side.OLD) && old.isConnected() && embedded.isConnected();
    }

    @Override
    public void connectUntilTimeout(Duration timeout) {
        boolean limited = !timeout.isZero() && !timeout.isNegative();
        long begin = System.nanoTime();
        while (!isConnected()) {
            requireOpen();
            if (limited && System.nanoTime() - begin > TimeUnit.MILLISECONDS.toNanos(timeout.toMillis())) {
                throw failure.of("Cannot connect to registry in " + timeout.getSeconds() + " s (the old one is "
                    + (connection.isUp(Side.OLD) ? "" : "not ") + "connected, the embedded one is "
                    + (embedded.isConnected() ? "" : "not ") + "connected)", null);
            }
            pause();
        }
    }

    /** Tells of both as of one: it is lost as soon as either is, and back when both are. */
    @Override
    public void addConnectionStateListener(Consumer<State> listener) {
        connection.addListener(Objects.requireNonNull(listener, "listener"));
    }

    @Override
    public void subscribe(String key, Consumer<Change> listener) {
        requireStarted();
        read.subscribe(key, listener);
    }

    @Override
    public void unsubscribe(String key) {
        requireStarted();
        read.unsubscribe(key);
    }

    @Override
    public String get(String key) {
        requireStarted();
        return read.get(key);
    }

    @Override
    public void put(String key, String value, boolean deleteOnDisconnect) {
        requireStarted();
        entries.put(key, value, deleteOnDisconnect);
    }

    @Override
    public void delete(String key) {
        requireStarted();
        entries.delete(key);
    }

    @Override
    public Collection<String> children(String key) {
        requireStarted();
        return read.children(key);
    }

    @Override
    public boolean exists(String key) {
        requireStarted();
        return read.exists(key);
    }

    @Override
    public boolean acquireLock(String key) {
        requireStarted();
        return locks.acquire(key, null);
    }

    @Override
    public boolean acquireLock(String key, long timeoutMs) {
        requireStarted();
        return locks.acquire(key, Math.max(0, timeoutMs));
    }

    @Override
    public boolean releaseLock(String key) {
        requireStarted();
        return locks.release(key);
    }

    private void requireOpen() {
        if (closed) {
            throw failure.of("the registry is closed", null);
        }
    }

    private void requireStarted() {
        requireOpen();
        if (!started) {
            throw failure.of("the registry was not started", null);
        }
    }

    @Override
    public void close() {
        synchronized (lifecycle) {
            if (closed) {
                return;
            }
            closed = true;
        }
        locks.close();
        connection.close();
        entries.close();
        try {
            embedded.close();
        } finally {
            locks.abandon();
            old.close();
        }
    }
}
