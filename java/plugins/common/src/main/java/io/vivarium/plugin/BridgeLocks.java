package io.vivarium.plugin;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Locks that are held in both registries or not at all. All hosts take the old one first, so that none waits for
 * another in a circle; before that, threads of this host stand in a line of their own, because some registries give a
 * lock to a process and not to a thread.
 */
final class BridgeLocks {
    private static final Logger LOGGER = LoggerFactory.getLogger(BridgeLocks.class);

    private final RegistryBackend old;
    private final RegistryBackend embedded;
    private final BridgeConnection connection;
    private final HostRegistry.Failure failure;
    private final Object monitor = new Object();
    /** Of each lock, who has it or is about to ask the registries for it, and who waits for that. */
    private final Map<String, Deque<Turn>> lines = new HashMap<>();
    private boolean closed;

    /** A thread that wants a lock, or has it. */
    private static final class Turn {
        final Thread thread = Thread.currentThread();
        /** It has the lock of the old registry, and how many sessions were over there when it asked for it. */
        volatile boolean hasOld;
        volatile long oldLosses;
        volatile boolean held;
    }

    BridgeLocks(RegistryBackend old, RegistryBackend embedded, BridgeConnection connection, HostRegistry.Failure failure) {
        this.old = old;
        this.embedded = embedded;
        this.connection = connection;
        this.failure = failure;
        connection.onChange(() -> {
            synchronized (monitor) {
                monitor.notifyAll();
            }
        });
    }

    /** What is left of the time that a caller gave. */
    private static final class Limit {
        private final long begin = System.nanoTime();
        private final Long millis;

        Limit(Long millis) {
            this.millis = millis;
        }

        boolean isNone() {
            return millis == null;
        }

        long left() {
            return Math.max(0, millis - TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin));
        }
    }

    /** Without a limit for {@code null}. */
    boolean acquire(String key, Long timeoutMs) {
        Limit limit = new Limit(timeoutMs);
        Turn turn = mine(key);
        if (turn != null && isStale(turn)) {
            quietly(key, () -> embedded.releaseLock(key));
            forget(key, turn);
            leave(key, turn);
            turn = null;
        }
        if (turn == null) {
            turn = enter(key, limit);
        }
        return turn != null && take(key, turn, limit);
    }

    /**
     * Takes what this thread has not yet. Nobody passes it in its line meanwhile. What it has from before it keeps
     * where nobody can say whether the other half is held still.
     */
    private boolean take(String key, Turn turn, Limit limit) {
        boolean kept = turn.held;
        boolean got = false;
        turn.held = false;
        try {
            while (!got) {
                if (!turn.hasOld) {
                    turn.oldLosses = connection.losses().old;
                    turn.hasOld = acquire(old, key, limit);
                }
                // This one knows itself whether it is held still, and stands in line again where it is not.
                if (!turn.hasOld || !acquire(embedded, key, limit)) {
                    kept = false;
                    return false;
                }
                got = !isClosed() && !isOver(turn);
                if (!got) {
                    kept = false;
                    quietly(key, () -> embedded.releaseLock(key));
                    forget(key, turn);
                    requireOpen();
                }
            }
            return true;
        } finally {
            turn.held = got || kept;
            if (!turn.held) {
                forget(key, turn);
                leave(key, turn);
            }
        }
    }

    private static boolean acquire(RegistryBackend registry, String key, Limit limit) {
        return limit.isNone() ? registry.acquireLock(key) : registry.acquireLock(key, limit.left());
    }

    /** In reverse order; both, also where one of them fails. */
    boolean release(String key) {
        Turn turn = mine(key);
        if (turn == null) {
            return !holdsAny();
        }
        turn.held = false;
        try {
            embedded.releaseLock(key);
        } catch (RuntimeException error) {
            forget(key, turn);
            throw error;
        } finally {
            try {
                if (turn.hasOld) {
                    turn.hasOld = false;
                    old.releaseLock(key);
                }
            } finally {
                leave(key, turn);
            }
        }
        return true;
    }

    /** Gives back the lock of the old registry, if there is any. */
    private void forget(String key, Turn turn) {
        if (turn.hasOld) {
            turn.hasOld = false;
            quietly(key, () -> old.releaseLock(key));
        }
    }

    private void quietly(String key, Runnable release) {
        // Who was interrupted has to give back all the same.
        boolean interrupted = Thread.interrupted();
        try {
            release.run();
        } catch (RuntimeException failed) {
            LOGGER.debug("cannot release {} in one registry of the bridge", key, failed);
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** What it has in the old registry was of a session that is over: others may have it by now. */
    private boolean isOver(Turn turn) {
        return turn.oldLosses < connection.losses().old;
    }

    private boolean isStale(Turn turn) {
        return turn.held && isOver(turn);
    }

    private Turn mine(String key) {
        synchronized (monitor) {
            Deque<Turn> line = lines.get(key);
            return line == null ? null
                : line.stream().filter(turn -> turn.thread == Thread.currentThread()).findFirst().orElse(null);
        }
    }

    private boolean holdsAny() {
        synchronized (monitor) {
            return lines.values().stream().flatMap(Deque::stream).anyMatch(turn -> turn.thread == Thread.currentThread());
        }
    }

    private boolean isClosed() {
        synchronized (monitor) {
            return closed;
        }
    }

    private void requireOpen() {
        if (isClosed()) {
            throw failure.of("the registry is closed", null);
        }
    }

    /** Waits until nobody of this process is before this thread; null where the time is over. */
    private Turn enter(String key, Limit limit) {
        Turn turn = new Turn();
        boolean first = false;
        List<Turn> passed = new ArrayList<>();
        synchronized (monitor) {
            lines.computeIfAbsent(key, any -> new ArrayDeque<>()).addLast(turn);
            try {
                while (!closed && !isFirst(key, turn)) {
                    if (limit.isNone()) {
                        monitor.wait();
                    } else if (limit.left() > 0) {
                        monitor.wait(limit.left());
                    } else {
                        return null;
                    }
                }
                requireOpen();
                first = true;
                for (Turn before : lines.get(key)) {
                    if (before == turn) {
                        break;
                    }
                    passed.add(before);
                }
            } catch (InterruptedException asked) {
                Thread.currentThread().interrupt();
                throw failure.of("interrupted while waiting for " + key, asked);
            } finally {
                if (!first) {
                    leave(key, turn);
                }
            }
        }
        passed.forEach(before -> forget(key, before));
        return turn;
    }

    private boolean isFirst(String key, Turn turn) {
        for (Iterator<Turn> line = lines.get(key).iterator(); line.hasNext();) {
            Turn next = line.next();
            if (next == turn) {
                return true;
            }
            if (!isStale(next)) {
                return false;
            }
        }
        throw new IllegalStateException("a thread is not in the line that it waits in");
    }

    private void leave(String key, Turn turn) {
        synchronized (monitor) {
            Deque<Turn> line = lines.get(key);
            line.remove(turn);
            if (line.isEmpty()) {
                lines.remove(key);
            }
            monitor.notifyAll();
        }
    }

    /** Nobody gets a lock any more. */
    void close() {
        synchronized (monitor) {
            closed = true;
            monitor.notifyAll();
        }
    }

    /**
     * Gives back what threads of this host have in the old registry, which it may not do by itself at its end; after
     * the end of the other one.
     */
    void abandon() {
        List<String> keys = new ArrayList<>();
        List<Turn> turns = new ArrayList<>();
        synchronized (monitor) {
            lines.forEach((key, line) -> line.stream().filter(turn -> turn.hasOld).forEach(turn -> {
                keys.add(key);
                turns.add(turn);
            }));
        }
        for (int i = 0; i < turns.size(); i++) {
            forget(keys.get(i), turns.get(i));
        }
    }
}
