package io.vivarium.client;

import io.grpc.MethodDescriptor;
import java.util.logging.Level;

/**
 * Follows what members tell in a stream without end, on a thread of its own: through other members and later sessions,
 * until it is closed, or a member says what does not pass.
 */
final class Follower<Q, A> {
    /** Whoever wants to know. All of it is called on the thread of the follower. */
    interface Told<Q, A> {
        /** Before the first stream. */
        default void begin() {}

        /** What is asked for. What the stream before has told and not finished comes to nothing. */
        Q request();

        /** The next message of the stream. */
        void take(A message);

        /** Nothing is told after this, which also says that it was closed. */
        void ended(VivariumException why);
    }

    private final VivariumClient client;
    /** Such as "the ring /a". */
    private final String what;
    private final String purpose;
    private final MethodDescriptor<Q, A> method;
    private final Told<Q, A> told;
    private volatile Thread thread;
    private volatile boolean closed;

    Follower(VivariumClient client, String purpose, String what, MethodDescriptor<Q, A> method, Told<Q, A> told) {
        this.client = client;
        this.purpose = purpose;
        this.what = what;
        this.method = method;
        this.told = told;
    }

    /** Once whoever is told has all that it needs for that. */
    void start() {
        thread = client.core.threads.startNumbered(purpose, this::run);
    }

    private void run() {
        Backoff backoff = new Backoff();
        try {
            told.begin();
            while (!closed) {
                try {
                    follow(backoff);
                } catch (VivariumException error) {
                    if (!error.isPassing() && !client.core.isBehind(error)) {
                        throw error;
                    }
                    Core.LOG.fine(() -> "the watch of " + what + " begins anew: " + error.getMessage());
                }
                backoff.sleep();
            }
            told.ended(VivariumException.closed());
        } catch (InterruptedException stop) {
            told.ended(VivariumException.closed());
        } catch (VivariumException error) {
            told.ended(error);
        } catch (RuntimeException | Error fault) {
            Core.LOG.log(Level.SEVERE, "the watch of " + what + " failed", fault);
            told.ended(VivariumException.broken(fault.toString()));
        }
    }

    private void follow(Backoff backoff) throws InterruptedException {
        Core.Attached at = client.core.attached(null, Deadline.NEVER, false, null);
        Stream<Q, A> messages = at.link.stream(method);
        try {
            messages.send(told.request());
            messages.sentAll();
            while (!closed) {
                A message = messages.next(Deadline.NEVER);
                if (message != null) {
                    backoff.reset();
                    told.take(message);
                }
            }
        } finally {
            messages.cancel();
        }
    }

    /** Calls a listener of the host's, unless it is closed, and lets it fail. */
    void call(Runnable listener) {
        if (closed) {
            return;
        }
        try {
            listener.run();
        } catch (RuntimeException error) {
            Core.LOG.log(Level.WARNING, "a listener of " + what + " failed", error);
        }
    }

    /** No listener is called after this has returned. It waits 5 seconds at most for one that does not return. */
    void close() {
        closed = true;
        Thread started = thread;
        if (started != null) {
            Threads.end(started);
        }
    }
}
