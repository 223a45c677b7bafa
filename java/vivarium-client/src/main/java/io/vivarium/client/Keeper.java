package io.vivarium.client;

import io.vivarium.v1.KeepAliveRequest;
import io.vivarium.v1.KeepAliveResponse;
import io.vivarium.v1.OpenRequest;
import io.vivarium.v1.OpenResponse;
import io.vivarium.v1.SessionServiceGrpc;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;

/**
 * The thread that keeps a client's session alive, whatever the client itself does.
 *
 * <p>At all times: while the session is attached, an answer came of late; as soon as that is not so, calls go
 * nowhere until a member has said that the session lives. A session that may have ended by this process' own
 * clock is never taken up again.
 *
 * <pre>
 *          answers come            no answer for a third of the timeout, or the stream broke
 *   ┌──── CONNECTED / RECONNECTED ─────────────────────────▶ SUSPENDED ──┐ next member, and the next …
 *   │              ▲                 a member answers          │         │
 *   │              └───────────────────────────────────────────┤◀────────┘
 *   │ SESSION_EXPIRED                  SESSION_EXPIRED, or the timeout has gone by
 *   └────────────────────▶ LOST ◀──────────────────────────────┘
 * </pre>
 */
final class Keeper implements Runnable {
    /** How long one member is given: a part of the timeout within these bounds. */
    private static final int ATTEMPTS_PER_TIMEOUT = 6;
    private static final long ATTEMPT_MIN = TimeUnit.MILLISECONDS.toNanos(250);
    private static final long ATTEMPT_MAX = TimeUnit.SECONDS.toNanos(3);
    /** Signs of life that are under way. */
    static final int SIGNS_MAX = 16;

    private final Core core;
    private Kept kept;

    /** A session at a member. */
    private static final class Kept {
        final Session session;
        final Link link;
        final Stream<KeepAliveRequest, KeepAliveResponse> signs;
        /** Which signs are not answered yet and when they were sent, the oldest first. */
        final ArrayDeque<long[]> sent = new ArrayDeque<>();
        long sequence = 1;

        Kept(Session session, Link link, Stream<KeepAliveRequest, KeepAliveResponse> signs) {
            this.session = session;
            this.link = link;
            this.signs = signs;
        }

        void answered(Core core, KeepAliveResponse answer) {
            core.saw(answer.getZxid());
            // Every answer is to one sign; those before it were heard too.
            while (!sent.isEmpty() && sent.peekFirst()[0] <= answer.getSequence()) {
                long[] sign = sent.pollFirst();
                if (sign[0] == answer.getSequence()) {
                    session.vouch(sign[1]);
                }
            }
        }

        void giveSign() {
            if (sent.size() >= SIGNS_MAX) {
                // Nobody answers; the silence will be noticed.
                return;
            }
            sequence++;
            sent.addLast(new long[] {sequence, System.nanoTime()});
            signs.send(KeepAliveRequest.newBuilder().setSequence(sequence).build());
        }
    }

    Keeper(Core core) {
        this.core = core;
    }

    /** A first session. Who asks is there to be told why it is not to be had. */
    void openFirst() {
        Deadline deadline = Deadline.in(core.options.connectTimeout);
        Map<String, String> tried = new LinkedHashMap<>();
        Backoff backoff = new Backoff();
        try {
            while (!deadline.isOver()) {
                Options.Endpoint endpoint = core.nextEndpoint();
                try {
                    kept = open(endpoint, deadline);
                    core.attached(kept.session, kept.link, ConnectionState.CONNECTED);
                    return;
                } catch (VivariumException error) {
                    if (!error.isPassing() && !error.is(VivariumException.Kind.TIMED_OUT)) {
                        throw error;
                    }
                    tried.remove(endpoint.toString());
                    tried.put(endpoint.toString(), error.getMessage());
                }
                TimeUnit.NANOSECONDS.sleep(Math.min(backoff.nextNanos(), Math.max(0, deadline.leftNanos())));
            }
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
        StringBuilder each = new StringBuilder();
        for (Options.Endpoint endpoint : core.options.endpoints) {
            each.append(each.length() == 0 ? "" : "; ").append(endpoint).append(": ");
            each.append(tried.getOrDefault(endpoint.toString(), "no answer in time"));
        }
        throw VivariumException.unreachable(each.toString());
    }

    /** Keeps the session, and those after it, until the client stops. */
    @Override
    public void run() {
        try {
            while (!core.stopped) {
                if (!keepOn()) {
                    return;
                }
            }
        } catch (InterruptedException stop) {
            // The client is closed.
        } catch (RuntimeException | Error fault) {
            // Nobody keeps the session from now on: whoever relies on it has to know.
            Core.LOG.log(Level.SEVERE, "the session is not kept alive any more", fault);
            core.lost(kept.session, VivariumException.sessionLost());
        } finally {
            kept.signs.cancel();
        }
    }

    /** Until there is a link that serves again, or nothing comes after. */
    private boolean keepOn() throws InterruptedException {
        VivariumException why = keep();
        Session session = kept.session;
        kept.signs.cancel();
        Kept again = null;
        if (!why.is(Reason.SESSION_EXPIRED)) {
            Core.LOG.fine(() -> "session " + name(session) + " suspended: " + why.getMessage());
            core.suspended(session);
            again = reattach(session);
        }
        if (again != null) {
            kept = again;
            core.attached(session, kept.link, ConnectionState.RECONNECTED);
            return true;
        }
        if (core.closing) {
            core.lost(session, VivariumException.closed());
            return false;
        }
        boolean reopen = core.options.reopen;
        Core.LOG.warning("session " + name(session) + " lost" + (reopen ? ", a new one is opened" : ""));
        core.lost(session, reopen ? null : VivariumException.sessionLost());
        if (!reopen) {
            return false;
        }
        kept = openAtLast();
        core.attached(kept.session, kept.link, ConnectionState.CONNECTED);
        return true;
    }

    private static String name(Session session) {
        return "0x" + Long.toHexString(session.reference.getId());
    }

    /** Why it ended. */
    private VivariumException keep() throws InterruptedException {
        Session session = kept.session;
        long heartbeat = core.options.heartbeatNanos(session.timeoutNanos);
        long next = System.nanoTime() + heartbeat;
        for (;;) {
            long now = System.nanoTime();
            long until = session.vouchedUntil();
            KeepAliveResponse answer;
            try {
                answer = kept.signs.next(Deadline.inNanos(Math.max(0, Math.min(next - now, until - now))));
            } catch (VivariumException ended) {
                return ended;
            }
            if (answer != null) {
                kept.answered(core, answer);
                continue;
            }
            now = System.nanoTime();
            if (now - session.vouchedUntil() >= 0) {
                return VivariumException.broken("no answer for a third of the timeout");
            }
            if (now - next >= 0) {
                next = now + heartbeat;
                kept.giveSign();
            }
        }
    }

    /** The session at another member, or at the same one again; {@code null} when it is over. */
    private Kept reattach(Session session) throws InterruptedException {
        Backoff backoff = Backoff.within(session.timeoutNanos);
        Deadline ends = Deadline.inNanos(Math.max(0, session.ends() - System.nanoTime()));
        while (!ends.isOver()) {
            Options.Endpoint endpoint = core.nextEndpoint();
            long attempt = Math.min(attemptNanos(session.timeoutNanos), Math.max(1, ends.leftNanos()));
            try {
                return attach(session, dial(endpoint, attempt), attempt);
            } catch (VivariumException error) {
                if (error.is(Reason.SESSION_EXPIRED)) {
                    return null;
                }
                Core.LOG.fine(() -> "the member at " + endpoint + " did not take the session: " + error.getMessage());
            }
            TimeUnit.NANOSECONDS.sleep(Math.min(backoff.nextNanos(), Math.max(0, ends.leftNanos())));
        }
        return null;
    }

    /** A new session, whenever there is one to be had. */
    private Kept openAtLast() throws InterruptedException {
        Backoff backoff = new Backoff();
        for (;;) {
            Options.Endpoint endpoint = core.nextEndpoint();
            try {
                return open(endpoint, Deadline.NEVER);
            } catch (VivariumException error) {
                if (error.is(VivariumException.Kind.INTERRUPTED)) {
                    Thread.interrupted();
                    throw new InterruptedException();
                }
                Core.LOG.fine(() -> "the member at " + endpoint + " did not open a session: " + error.getMessage());
            }
            backoff.sleep();
        }
    }

    private Kept open(Options.Endpoint endpoint, Deadline deadline) throws InterruptedException {
        Options options = core.options;
        long attempt = attemptNanos(Deadline.nanos(options.sessionTimeout));
        OpenRequest request = OpenRequest.newBuilder()
                .setTimeoutMs(Options.millis(options.sessionTimeout))
                .setHeartbeatIntervalMs(options.heartbeat == null ? 0 : Options.millis(options.heartbeat))
                .setClientId(options.clientId)
                .build();
        Link link = dial(endpoint, Math.min(attempt, Math.max(1, deadline.leftNanos())));
        boolean opened = false;
        try {
            // An election may be going on: a session that is given up here would stay until it expires.
            Deadline within = Deadline.inNanos(Math.min(ATTEMPT_MAX, Math.max(1, deadline.leftNanos())));
            OpenResponse answer = link.call(SessionServiceGrpc.getOpenMethod(), request, within);
            core.threads.nameAgain();
            core.saw(answer.getZxid());
            long timeout = TimeUnit.MILLISECONDS.toNanos(Math.max(1, answer.getTimeoutMs() & 0xffff_ffffL));
            Session session = new Session(answer.getSession(), timeout, answer.getIncarnation());
            Kept made = attach(session, link, ATTEMPT_MAX);
            opened = true;
            return made;
        } finally {
            if (!opened) {
                link.close();
            }
        }
    }

    private Link dial(Options.Endpoint endpoint, long connectNanos) {
        return new Link(core.options, core.threads, endpoint, connectNanos);
    }

    /** Has the member keep the session, and waits until it says that it lives. */
    private Kept attach(Session session, Link link, long attempt) throws InterruptedException {
        boolean attached = false;
        Stream<KeepAliveRequest, KeepAliveResponse> signs = link.stream(SessionServiceGrpc.getKeepAliveMethod());
        try {
            Kept made = new Kept(session, link, signs);
            made.sent.addLast(new long[] {1, System.nanoTime()});
            signs.send(KeepAliveRequest.newBuilder().setSession(session.reference).setSequence(1).build());
            KeepAliveResponse first = signs.next(Deadline.inNanos(attempt));
            core.threads.nameAgain();
            if (first == null) {
                throw VivariumException.broken(
                        "no answer within " + TimeUnit.NANOSECONDS.toMillis(attempt) + " ms");
            }
            made.answered(core, first);
            attached = true;
            return made;
        } finally {
            if (!attached) {
                signs.cancel();
                link.close();
            }
        }
    }

    private static long attemptNanos(long session) {
        return Math.max(ATTEMPT_MIN, Math.min(ATTEMPT_MAX, session / ATTEMPTS_PER_TIMEOUT));
    }
}
