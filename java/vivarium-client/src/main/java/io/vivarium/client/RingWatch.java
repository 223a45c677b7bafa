package io.vivarium.client;

import io.vivarium.v1.DescribeRingRequest;
import io.vivarium.v1.RingServiceGrpc;
import io.vivarium.v1.RingState;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;

/** A ring that is followed, also through other members when one fails, until this is closed. */
public final class RingWatch implements AutoCloseable {
    private final Rings rings;
    private final VivariumClient client;
    private final String path;
    private final RingMode mode;
    private final RingListener listener;
    private final Thread thread;
    private volatile Ring current;
    private volatile boolean closed;

    RingWatch(Rings rings, VivariumClient client, String path, RingMode mode, RingListener listener) {
        this.rings = rings;
        this.client = client;
        this.path = path;
        this.mode = mode;
        this.listener = listener;
        current = rings.describe(path, mode);
        thread = client.core.threads.startNumbered("ring", this::run);
    }

    /** The ring as it was seen last: while the client is suspended it may have changed. */
    public Ring current() {
        return current;
    }

    private void run() {
        Backoff backoff = new Backoff();
        tell(current);
        try {
            while (!closed) {
                try {
                    follow(backoff);
                } catch (VivariumException error) {
                    if (!error.isPassing() && !client.core.isBehind(error)) {
                        throw error;
                    }
                    Core.LOG.fine(() -> "the ring " + path + " is watched anew: " + error.getMessage());
                }
                backoff.sleep();
            }
        } catch (InterruptedException stop) {
            end(VivariumException.closed());
        } catch (VivariumException error) {
            end(error);
        }
    }

    private void follow(Backoff backoff) throws InterruptedException {
        Core.Attached at = client.core.attached(null, Deadline.NEVER, false, null);
        Stream<DescribeRingRequest, RingState> states = at.link.stream(RingServiceGrpc.getWatchMethod());
        try {
            states.send(rings.request(path, mode));
            states.sentAll();
            while (!closed) {
                RingState state = states.next(Deadline.NEVER);
                if (state == null) {
                    continue;
                }
                backoff.reset();
                client.core.saw(state.getEpoch());
                if (state.getEpoch() != current.epoch()) {
                    current = new Ring(state, mode);
                    tell(current);
                }
            }
        } finally {
            states.cancel();
        }
    }

    private void tell(Ring ring) {
        try {
            listener.changed(ring);
        } catch (RuntimeException error) {
            Core.LOG.log(Level.WARNING, "a listener of the ring " + path + " failed", error);
        }
    }

    private void end(VivariumException why) {
        if (closed) {
            return;
        }
        try {
            listener.ended(why);
        } catch (RuntimeException error) {
            Core.LOG.log(Level.WARNING, "a listener of the ring " + path + " failed at its end", error);
        }
    }

    /** Nothing is told after this has returned. It waits 5 seconds at most for a listener that does not return. */
    @Override
    public void close() {
        closed = true;
        if (Thread.currentThread() == thread) {
            return;
        }
        thread.interrupt();
        try {
            thread.join(TimeUnit.SECONDS.toMillis(5));
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
