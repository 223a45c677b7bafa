package io.vivarium.client;

import java.util.ArrayList;
import java.util.List;
import java.util.logging.Level;

/** Tells listeners how the session stands, on a thread of its own that begins with the first of them. */
final class Events {
    /** Listeners of one client. */
    static final int LISTENERS_MAX = 1_024;

    private final Core core;
    private final List<Told> listeners = new ArrayList<>();
    private ConnectionState state = ConnectionState.SUSPENDED;
    private long losses;
    private boolean over;
    private Thread thread;

    /** What a listener was told last. */
    private static final class Told {
        final ConnectionListener listener;
        /** {@code null} before the first. */
        ConnectionState state;
        ConnectionState first;
        long losses;

        Told(ConnectionListener listener, ConnectionState first, long losses) {
            this.listener = listener;
            this.first = first;
            this.losses = losses;
        }
    }

    Events(Core core) {
        this.core = core;
    }

    synchronized ConnectionState state() {
        return state;
    }

    synchronized void tell(ConnectionState state, boolean isLoss, boolean over) {
        this.state = state;
        this.over = over;
        losses += isLoss ? 1 : 0;
        notifyAll();
    }

    synchronized void add(ConnectionListener listener) {
        if (over) {
            throw VivariumException.closed();
        }
        if (listeners.size() >= LISTENERS_MAX) {
            throw VivariumException.invalid("a client has " + LISTENERS_MAX + " connection listeners at most");
        }
        listeners.add(new Told(listener, state, losses));
        if (thread == null) {
            thread = core.threads.start("events", this::run);
        }
        notifyAll();
    }

    synchronized void remove(ConnectionListener listener) {
        listeners.removeIf(told -> told.listener == listener);
    }

    /** Waits until everybody was told everything, once it is over. */
    void finish(Deadline deadline) throws InterruptedException {
        Thread telling;
        synchronized (this) {
            telling = thread;
        }
        long left = java.util.concurrent.TimeUnit.NANOSECONDS.toMillis(deadline.leftNanos());
        if (telling != null && telling != Thread.currentThread() && left > 0) {
            telling.join(left);
        }
    }

    private void run() {
        for (;;) {
            Told told;
            ConnectionState next;
            synchronized (this) {
                told = null;
                next = null;
                while (told == null) {
                    for (Told each : listeners) {
                        next = next(each);
                        if (next != null) {
                            told = each;
                            break;
                        }
                    }
                    if (told == null) {
                        if (over) {
                            return;
                        }
                        try {
                            wait();
                        } catch (InterruptedException stopped) {
                            if (over) {
                                return;
                            }
                        }
                    }
                }
            }
            try {
                told.listener.stateChanged(next);
            } catch (RuntimeException error) {
                Core.LOG.log(Level.WARNING, "a connection listener failed at " + next, error);
            }
        }
    }

    private ConnectionState next(Told told) {
        ConnectionState next;
        if (told.first != null) {
            next = told.first;
            told.first = null;
        } else if (told.losses < losses) {
            // A new session may be there already: first it is told that the old one is not.
            next = ConnectionState.LOST;
            told.losses = losses;
        } else {
            next = told.state == state ? null : state;
        }
        if (next != null) {
            told.state = next;
        }
        return next;
    }
}
