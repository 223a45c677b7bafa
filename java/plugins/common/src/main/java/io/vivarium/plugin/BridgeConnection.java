package io.vivarium.plugin;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Two connections that a host is told of as one. It is connected while both are, and lost as soon as either is:
 * what rests on both, rests on the weaker of them.
 */
final class BridgeConnection {
    /** More would have to be told of each state. */
    static final int LISTENERS_MAX = 1_024;

    /** How long the end waits for a listener to return. */
    static final long CLOSE_WAIT_MS = 5_000;

    private static final Logger LOGGER = LoggerFactory.getLogger(BridgeConnection.class);
    private static final AtomicInteger NUMBER = new AtomicInteger();

    enum Side {
        OLD, EMBEDDED
    }

    private enum Standing {
        UP, SUSPENDED, LOST
    }

    /** How many sessions of each side are over, as far as is known. */
    static final class Losses {
        final long old;
        final long embedded;

        Losses(long old, long embedded) {
            this.old = old;
            this.embedded = embedded;
        }
    }

    /** A listener, and what it was told last. */
    private static final class Told {
        final Consumer<State> listener;
        State last;
        long losses;

        Told(Consumer<State> listener, long losses) {
            this.listener = listener;
            this.losses = losses;
        }
    }

    private final int number = NUMBER.incrementAndGet();
    private final HostRegistry.Failure failure;
    private final List<Runnable> hooks = new ArrayList<>();
    /** Guards what follows; never held while anybody is called. */
    private final Object monitor = new Object();
    private final List<Told> listeners = new ArrayList<>();
    private final Standing[] standing = {Standing.UP, Standing.UP};
    private final long[] losses = new long[2];
    private BooleanSupplier settled = () -> true;
    private Thread thread;
    private boolean closed;

    BridgeConnection(HostRegistry.Failure failure) {
        this.failure = failure;
    }

    int number() {
        return number;
    }

    /** Called with each change, after it; to be added before any. */
    void onChange(Runnable hook) {
        hooks.add(hook);
    }

    /** Begins to tell; {@code settled} says whether nothing is left of what a lost session had. */
    void start(BooleanSupplier settled) {
        synchronized (monitor) {
            this.settled = settled;
            thread = new Thread(this::run, "vivarium-bridge-" + number);
            thread.setDaemon(true);
            thread.start();
        }
    }

    /** Never waits for anybody. */
    void told(Side side, State state) {
        synchronized (monitor) {
            int at = side.ordinal();
            switch (state) {
                case SUSPENDED:
                    standing[at] = standing[at] == Standing.LOST ? Standing.LOST : Standing.SUSPENDED;
                    break;
                case DISCONNECTED:
                    standing[at] = Standing.LOST;
                    losses[at]++;
                    break;
                default:
                    standing[at] = Standing.UP;
            }
        }
        hooks.forEach(Runnable::run);
        wake();
    }

    /** Looks again at what is to be told. */
    void wake() {
        synchronized (monitor) {
            monitor.notifyAll();
        }
    }

    boolean isUp(Side side) {
        synchronized (monitor) {
            return standing[side.ordinal()] == Standing.UP;
        }
    }

    Losses losses() {
        synchronized (monitor) {
            return new Losses(losses[Side.OLD.ordinal()], losses[Side.EMBEDDED.ordinal()]);
        }
    }

    void addListener(Consumer<State> listener) {
        synchronized (monitor) {
            if (listeners.size() == LISTENERS_MAX) {
                throw failure.of("more than " + LISTENERS_MAX + " listeners of a connection", null);
            }
            listeners.add(new Told(listener, losses[0] + losses[1]));
            monitor.notifyAll();
        }
    }

    private void run() {
        for (Told told = next(); told != null; told = next()) {
            try {
                told.listener.accept(told.last);
            } catch (RuntimeException | Error failed) {
                LOGGER.error("a listener of the connection failed at {}", told.last, failed);
            }
        }
    }

    /** Waits for somebody who has something to be told; null at the end. */
    private Told next() {
        synchronized (monitor) {
            while (!closed) {
                boolean clean = settled.getAsBoolean();
                for (Told told : listeners) {
                    State state = state(told, clean);
                    told.losses = losses[0] + losses[1];
                    if (state != null) {
                        told.last = state;
                        return told;
                    }
                }
                try {
                    monitor.wait();
                } catch (InterruptedException asked) {
                    // Whoever interrupts a listener does not mean this thread, which ends at close.
                    continue;
                }
            }
            return null;
        }
    }

    private State state(Told told, boolean clean) {
        boolean anyLost = standing[0] == Standing.LOST || standing[1] == Standing.LOST || !clean;
        boolean lostSince = told.last != null && told.losses < losses[0] + losses[1];
        if (anyLost || lostSince) {
            return told.last == State.DISCONNECTED ? null : State.DISCONNECTED;
        }
        if (standing[0] == Standing.UP && standing[1] == Standing.UP) {
            return told.last == null ? State.CONNECTED
                : told.last == State.SUSPENDED || told.last == State.DISCONNECTED ? State.RECONNECTED : null;
        }
        return told.last == State.SUSPENDED || told.last == State.DISCONNECTED ? null : State.SUSPENDED;
    }

    /** Tells nothing more, and waits a while for the listener that is being told. */
    void close() {
        Thread ended;
        synchronized (monitor) {
            closed = true;
            monitor.notifyAll();
            ended = thread;
        }
        join(ended);
    }

    static void join(Thread thread) {
        if (thread == null || thread == Thread.currentThread()) {
            return;
        }
        try {
            TimeUnit.MILLISECONDS.timedJoin(thread, CLOSE_WAIT_MS);
        } catch (InterruptedException asked) {
            Thread.currentThread().interrupt();
        }
    }
}
