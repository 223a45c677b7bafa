package io.vivarium.client;

import io.grpc.MethodDescriptor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import java.util.logging.Logger;

/**
 * What the handles of one client and the thread that keeps its session have in common: where calls go, and how
 * they outlive the member that they were sent to.
 *
 * <p>At all times: a call goes through the link of the moment; when that breaks, or its member cannot answer, it
 * is sent again as it was, until the time of the call is over. What is over stays so.
 */
final class Core {
    static final Logger LOG = Logger.getLogger("io.vivarium.client");

    private enum Where {
        ATTACHED,
        /** Nowhere, until a member takes this session. */
        SUSPENDED,
        /** Nowhere, until there is a new session. */
        LOST,
        /** Nowhere any more. */
        OVER
    }

    /** A session, and the link to the member where it is attached. */
    static final class Attached {
        final Session session;
        final Link link;

        Attached(Session session, Link link) {
            this.session = session;
            this.link = link;
        }
    }

    final Options options;
    final Threads threads;
    final Semaphore lockWaits = new Semaphore(Window.LOCK_WAITS_MAX, true);
    final Semaphore lockAsks = new Semaphore(Window.LOCK_ASKS_MAX, true);
    final Events events = new Events(this);
    private final AtomicInteger turn = new AtomicInteger();
    /** The largest zxid that any answer had: no later read is answered from before it. */
    private final AtomicLong seen = new AtomicLong();

    private final Object monitor = new Object();
    private Where where = Where.LOST;
    private Session session;
    private Link link;
    private VivariumException over;
    /** Nobody wants the session any more: that it ends is no loss, and none follows. */
    volatile boolean closing;
    /** For the thread that keeps the session. */
    volatile boolean stopped;

    Core(Options options) {
        this.options = options;
        threads = new Threads();
    }

    /** The members' addresses, one after the other. */
    Options.Endpoint nextEndpoint() {
        int next = Math.floorMod(turn.getAndIncrement(), options.endpoints.size());
        return options.endpoints.get(next);
    }

    void saw(long zxid) {
        seen.accumulateAndGet(zxid, Math::max);
    }

    long seen() {
        return seen.get();
    }

    void attached(Session session, Link link, ConnectionState state) {
        change(Where.ATTACHED, session, link, null, state, false);
    }

    void suspended(Session session) {
        session.doubt();
        change(Where.SUSPENDED, session, null, null, ConnectionState.SUSPENDED, false);
    }

    /** The session has ended; nothing comes after it where {@code then} is given. */
    void lost(Session session, VivariumException then) {
        session.lose();
        change(then == null ? Where.LOST : Where.OVER, null, null, then, ConnectionState.LOST, true);
    }

    /** Nothing comes after this. What was lost before is not lost again. */
    void over() {
        boolean hadSession = session() != null;
        change(Where.OVER, null, null, VivariumException.closed(), ConnectionState.LOST, hadSession);
    }

    /** A link that is left is closed: whoever waits for an answer through it is told. */
    private void change(
            Where to, Session session, Link link, VivariumException over, ConnectionState state, boolean isLoss) {
        Link left;
        synchronized (monitor) {
            if (where == Where.OVER) {
                left = link;
            } else {
                left = this.link == link ? null : this.link;
                where = to;
                this.session = session;
                this.link = link;
                this.over = over;
                events.tell(state, isLoss, to == Where.OVER);
                monitor.notifyAll();
            }
        }
        if (left != null) {
            left.close();
        }
    }

    /** The session as it is; {@code null} if it is over. */
    Session session() {
        synchronized (monitor) {
            return session;
        }
    }

    boolean isOver() {
        synchronized (monitor) {
            return where == Where.OVER;
        }
    }

    /** Where calls go, once they go anywhere: through this session only, if one is wanted. */
    Attached attached(Session wanted, Deadline deadline, boolean sent, VivariumException last) {
        synchronized (monitor) {
            for (;;) {
                if (where == Where.OVER) {
                    throw over.again(sent);
                }
                if (wanted != null && wanted != session) {
                    throw VivariumException.sessionLost();
                }
                if (where == Where.ATTACHED) {
                    return new Attached(session, link);
                }
                if (deadline.isOver()) {
                    throw VivariumException.timedOut(sent, last);
                }
                try {
                    deadline.waitOn(monitor);
                } catch (InterruptedException interrupted) {
                    throw VivariumException.interrupted(sent, interrupted);
                }
            }
        }
    }

    /** The session, once there is one that is known to live. */
    Session session(Deadline deadline) {
        return attached(null, deadline, false, null).session;
    }

    /** A call that may be made as often as it takes. With a session: only while that lives. */
    <Q, A> A call(Deadline deadline, Session wanted, MethodDescriptor<Q, A> method, Supplier<Q> message) {
        Backoff backoff = new Backoff();
        VivariumException last = null;
        boolean sent = false;
        for (;;) {
            Attached at = attached(wanted, deadline, sent, last);
            sent = true;
            try {
                return at.link.call(method, message.get(), deadline);
            } catch (VivariumException error) {
                if (error.is(VivariumException.Kind.TIMED_OUT)) {
                    throw VivariumException.timedOut(true, last);
                }
                if (error.is(Reason.SESSION_EXPIRED)) {
                    throw VivariumException.sessionLost();
                }
                if (!error.isPassing() && !isBehind(error)) {
                    throw error;
                }
                last = error;
            }
            pause(backoff, deadline, last);
        }
    }

    private static void pause(Backoff backoff, Deadline deadline, VivariumException last) {
        long nanos = Math.min(backoff.nextNanos(), deadline.leftNanos());
        if (nanos <= 0) {
            throw VivariumException.timedOut(true, last);
        }
        try {
            TimeUnit.NANOSECONDS.sleep(nanos);
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(true, interrupted);
        }
    }

    /**
     * A member that has not come to what this client has seen elsewhere: it will, or another one has. One that
     * has is right to refuse a zxid that is none yet.
     */
    boolean isBehind(VivariumException error) {
        if (!error.is(Reason.FROM_THE_FUTURE)) {
            return false;
        }
        String reached = error.details().get("zxid");
        try {
            return reached == null || Long.parseLong(reached) < seen();
        } catch (NumberFormatException unknown) {
            return true;
        }
    }

    /** Has something done later that nobody waits for. */
    void tidy(String what, Runnable work) {
        try {
            threads.tidy.execute(() -> {
                try {
                    work.run();
                } catch (RuntimeException error) {
                    LOG.fine(() -> what + " is not given back: " + error);
                }
            });
        } catch (RejectedExecutionException full) {
            if (!isOver()) {
                LOG.warning(what + " is left to the end of the session: " + Threads.TIDY_MAX + " others wait");
            }
        }
    }
}
