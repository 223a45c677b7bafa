package io.vivarium.plugin;

import io.vivarium.plugin.BridgeConnection.Losses;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a host writes to both registries. Where the session of one of them is lost, the host's ephemeral entries are
 * removed from the other one, too: a host that was told so has none.
 */
final class BridgeEntries {
    /** Ephemeral entries of a host, which registers itself and little else. */
    static final int EPHEMERALS_MAX = 10_000;

    /** Times that what a lost session had is tried to be removed from the registry whose session lives. */
    static final int REMOVE_TRIES_MAX = 30;

    private static final int STRIPES = 64;
    static final long TRY_AGAIN_MS = 1_000;
    private static final Logger LOGGER = LoggerFactory.getLogger(BridgeEntries.class);

    private final RegistryBackend old;
    private final RegistryBackend embedded;
    private final BridgeConnection connection;
    private final HostRegistry.Failure failure;
    private final long tryAgainMs;
    /** What is written to one key is written to both registries in the same order. */
    private final Object[] stripes = new Object[STRIPES];
    /** The ephemeral entries of this host, and which sessions were over when each was put last. */
    private final Map<String, Losses> own = new ConcurrentHashMap<>();
    private final Object monitor = new Object();
    private Thread thread;
    private boolean changed;
    private boolean closed;

    BridgeEntries(RegistryBackend old, RegistryBackend embedded, BridgeConnection connection, HostRegistry.Failure failure,
            long tryAgainMs) {
        this.old = old;
        this.embedded = embedded;
        this.connection = connection;
        this.failure = failure;
        this.tryAgainMs = tryAgainMs;
        for (int i = 0; i < STRIPES; i++) {
            stripes[i] = new Object();
        }
        connection.onChange(this::wake);
    }

    void start() {
        thread = new Thread(this::run, "vivarium-bridge-" + connection.number() + "-tidy");
        thread.setDaemon(true);
        thread.start();
    }

    private Object stripe(String key) {
        return stripes[Math.floorMod(key.hashCode(), STRIPES)];
    }

    /** The second is left as it is where the first fails. */
    void put(String key, String value, boolean deleteOnDisconnect) {
        synchronized (stripe(key)) {
            if (deleteOnDisconnect) {
                if (own.size() >= EPHEMERALS_MAX && !own.containsKey(key)) {
                    throw failure.of("more than " + EPHEMERALS_MAX + " ephemeral entries of one host in a bridge", null);
                }
                own.put(key, connection.losses());
            }
            old.put(key, value, deleteOnDisconnect);
            embedded.put(key, value, deleteOnDisconnect);
        }
    }

    /** The second is tried also where the first fails: what is to be gone is not left where it can be removed. */
    void delete(String key) {
        synchronized (stripe(key)) {
            try {
                old.delete(key);
            } catch (RuntimeException first) {
                try {
                    embedded.delete(key);
                } catch (RuntimeException second) {
                    first.addSuppressed(second);
                }
                throw first;
            }
            embedded.delete(key);
            String below = key.endsWith("/") ? key : key + "/";
            own.keySet().removeIf(other -> other.equals(key) || other.startsWith(below));
        }
    }

    private static boolean isStale(Losses put, Losses now) {
        return put.old < now.old || put.embedded < now.embedded;
    }

    /** Whether nothing is left of what a session had that is over. */
    boolean isSettled() {
        Losses now = connection.losses();
        return own.values().stream().noneMatch(put -> isStale(put, now));
    }

    private void wake() {
        synchronized (monitor) {
            changed = true;
            monitor.notifyAll();
        }
    }

    private void run() {
        int tries = 0;
        while (awaitChange(tries)) {
            tries = remove(tries + 1) ? 0 : tries + 1;
        }
    }

    /** False at the end. After tries in vain it does not wait for long. */
    private boolean awaitChange(int tries) {
        synchronized (monitor) {
            try {
                if (tries > 0 && !closed) {
                    monitor.wait(tryAgainMs);
                }
                while (tries == 0 && !changed && !closed) {
                    monitor.wait();
                }
            } catch (InterruptedException asked) {
                return false;
            }
            changed = false;
            return !closed;
        }
    }

    /** Removes what is stale; false where some of it is still there, to be tried again. */
    private boolean remove(int attempt) {
        boolean done = true;
        for (Map.Entry<String, Losses> entry : own.entrySet()) {
            Losses put = entry.getValue();
            if (isStale(put, connection.losses())) {
                done &= remove(entry.getKey(), put, attempt);
            }
        }
        if (done) {
            connection.wake();
        }
        return done;
    }

    private boolean remove(String key, Losses put, int attempt) {
        synchronized (stripe(key)) {
            Losses now = connection.losses();
            // Put again meanwhile, or gone.
            if (own.get(key) != put) {
                return true;
            }
            try {
                if (put.old == now.old) {
                    old.delete(key);
                } else if (put.embedded == now.embedded) {
                    embedded.delete(key);
                }
            } catch (RuntimeException failed) {
                if (attempt < REMOVE_TRIES_MAX) {
                    return false;
                }
                LOGGER.error("{} was lost with one session of the bridge and cannot be removed from the other registry", key, failed);
            }
            own.remove(key, put);
            return true;
        }
    }

    void close() {
        synchronized (monitor) {
            closed = true;
            monitor.notifyAll();
        }
        BridgeConnection.join(thread);
    }
}
