package io.vivarium.client;

import io.grpc.MethodDescriptor;
import io.vivarium.v1.CloseRequest;
import io.vivarium.v1.ReadOptions;
import io.vivarium.v1.SessionServiceGrpc;
import io.vivarium.v1.WriteHeader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * A client of the ensemble. It has one session, which a thread of its own keeps alive through whichever member
 * answers; all that the client registers, locks and claims is bound to that session.
 *
 * <pre>{@code
 * try (VivariumClient client = VivariumClient.builder()
 *         .endpoints("10.0.0.1:2191,10.0.0.2:2191,10.0.0.3:2191")
 *         .clientId("worker-7:1234")
 *         .build()) {
 *     client.registry().register("/nodes/worker-7:1234", "ready");
 *     try (LockHandle lock = client.locks().acquire("/locks/nightly")) {
 *         // the work that one process at a time may do
 *     }
 * }
 * }</pre>
 *
 * <p>A client is for all threads of a process. A write has a number and is sent again under it, so that it takes
 * effect once; nothing is reported as held once a third of the session's timeout went by without an answer. Calls
 * block; each ends with its answer or a {@link VivariumException} when the request timeout is over, at the latest,
 * unless it says that it waits longer. Interrupting the thread ends a call at once
 * ({@link VivariumException.Kind#INTERRUPTED}, the flag is set again).
 *
 * <p>{@link #withRequestTimeout}, {@link #linearizable} and {@link #fenced} make other handles of the same client,
 * which are cheap; closing one closes them all.
 */
public final class VivariumClient implements AutoCloseable {
    /** Fences of one write. */
    public static final int FENCES_MAX = 8;
    /** How long {@link #close} tries to reach a member, and then waits for the client's threads. */
    private static final Duration CLOSE_TIME = Duration.ofSeconds(5);

    final Core core;
    final Locks.Held heldLocks;
    final Duration requestTimeout;
    private final boolean linearizable;
    private final List<Fence> fences;

    private VivariumClient(
            Core core, Locks.Held heldLocks, Duration requestTimeout, boolean linearizable, List<Fence> fences) {
        this.core = core;
        this.heldLocks = heldLocks;
        this.requestTimeout = requestTimeout;
        this.linearizable = linearizable;
        this.fences = fences;
    }

    /** A client of these members: begin here, change what is to be different, and {@link Builder#build} it. */
    public static Builder builder() {
        return new Builder();
    }

    /** How a client behaves. Durations are taken to the millisecond. */
    public static final class Builder {
        final List<String> endpoints = new ArrayList<>();
        String clientId = "";
        Duration sessionTimeout = Duration.ofSeconds(10);
        Duration heartbeat;
        Duration requestTimeout = Duration.ofSeconds(15);
        Duration connectTimeout = Duration.ofSeconds(15);
        boolean reopen = true;
        String user;
        String password;
        String token;
        Tls tls;
        private final List<ConnectionListener> listeners = new ArrayList<>();

        private Builder() {}

        /**
         * The gRPC ports of members, {@code HOST:PORT} each, also several in one text with commas between them;
         * 1 to 64. They are tried in turn, from the first on.
         */
        public Builder endpoints(String... endpoints) {
            return endpoints(Arrays.asList(endpoints));
        }

        /** As {@link #endpoints(String...)}. */
        public Builder endpoints(Iterable<String> endpoints) {
            this.endpoints.clear();
            for (String some : endpoints) {
                for (String one : some.split(",")) {
                    if (!one.trim().isEmpty()) {
                        this.endpoints.add(one.trim());
                    }
                }
            }
            return this;
        }

        /**
         * Who this is, over all its runs: its next run takes over at once what this one registered. 256
         * characters at most. Nobody in particular by default.
         */
        public Builder clientId(String clientId) {
            this.clientId = clientId;
            return this;
        }

        /**
         * Without a sign of life for so long, the session ends; 10 seconds by default. The ensemble brings it
         * within its bounds ({@link VivariumClient#sessionTimeout()}).
         */
        public Builder sessionTimeout(Duration timeout) {
            sessionTimeout = timeout;
            return this;
        }

        /**
         * How often a sign of life is given: a third of the timeout at most, else the ensemble refuses with
         * {@link Reason#INVALID_HEARTBEAT}; a fifth by default. It is never rarer than a quarter, so that a late
         * answer does not suspend the client.
         */
        public Builder heartbeatInterval(Duration interval) {
            heartbeat = interval;
            return this;
        }

        /**
         * How long a call is tried, over all its attempts and however often the member changes meanwhile; 15
         * seconds by default.
         */
        public Builder requestTimeout(Duration timeout) {
            requestTimeout = timeout;
            return this;
        }

        /** How long {@link #build} looks for a member that serves; 15 seconds by default. */
        public Builder connectTimeout(Duration timeout) {
            connectTimeout = timeout;
            return this;
        }

        /**
         * Whether a session that is over is followed by a new one, as by default. Without, every later call fails
         * with {@link VivariumException.Kind#SESSION_LOST}.
         */
        public Builder reopen(boolean reopen) {
            this.reopen = reopen;
            return this;
        }

        /**
         * A name and a password, which prove the {@code digest} identity that a ZooKeeper client gets for
         * {@code user:password}. Sent as they are: use them with {@link #tls}, or in networks that are trusted.
         */
        public Builder credentials(String user, String password) {
            this.user = user;
            this.password = password;
            return this;
        }

        /** A bearer token ({@code access.tokens_file}). Sent as it is: use it with {@link #tls}. */
        public Builder token(String token) {
            this.token = token;
            return this;
        }

        /** Has TLS spoken. Not by default. */
        public Builder tls(Tls tls) {
            this.tls = tls;
            return this;
        }

        /** A listener that is there from the first state on. */
        public Builder connectionListener(ConnectionListener listener) {
            listeners.add(listener);
            return this;
        }

        /**
         * Opens a session at the first member that serves. An attempt whose answer is lost may leave a session
         * behind that ends with its timeout.
         *
         * @throws VivariumException INVALID_OPTIONS; REFUSED, with BAD_CREDENTIALS or INVALID_HEARTBEAT, say;
         *     UNREACHABLE with what was wrong at each endpoint once the connect timeout has gone by, also for a
         *     certificate that is not trusted
         */
        public VivariumClient build() {
            Options options = new Options(this);
            Core core = new Core(options);
            VivariumClient client = new VivariumClient(
                    core, new Locks.Held(), options.requestTimeout, false, Collections.<Fence>emptyList());
            Keeper keeper = new Keeper(core);
            boolean built = false;
            try {
                keeper.openFirst();
                core.threads.start("session", keeper);
                for (ConnectionListener listener : listeners) {
                    core.events.add(listener);
                }
                built = true;
                return client;
            } finally {
                if (!built) {
                    client.stop();
                }
            }
        }
    }

    /** This client with another time for each call. */
    public VivariumClient withRequestTimeout(Duration timeout) {
        return new VivariumClient(core, heldLocks, timeout, linearizable, fences);
    }

    /**
     * This client with reads that have everything that was acknowledged anywhere before they were called. Without
     * it a read may be behind others' writes, and is never behind this client's own or what it has seen.
     */
    public VivariumClient linearizable() {
        return new VivariumClient(core, heldLocks, requestTimeout, true, fences);
    }

    /**
     * This client with writes that take effect only while the lock is held with this token
     * ({@link Reason#STALE_FENCING_TOKEN}), and those of its fences before; {@value #FENCES_MAX} at most.
     */
    public VivariumClient fenced(Fence fence) {
        List<Fence> all = new ArrayList<>(fences);
        all.add(fence);
        if (all.size() > FENCES_MAX) {
            throw VivariumException.invalid("a write has " + FENCES_MAX + " fences at most");
        }
        return new VivariumClient(core, heldLocks, requestTimeout, linearizable, all);
    }

    VivariumClient withoutFences() {
        return new VivariumClient(core, heldLocks, requestTimeout, linearizable, Collections.<Fence>emptyList());
    }

    boolean isFenced() {
        return !fences.isEmpty();
    }

    /** Entries: registered, kept up to date, found, followed. */
    public Registry registry() {
        return new Registry(this);
    }

    /** Locks, with a fencing token. */
    public Locks locks() {
        return new Locks(this);
    }

    /** What happens, each change once and in order. */
    public Changes changes() {
        return new Changes(this);
    }

    /** Who is responsible for what. */
    public Rings rings() {
        return new Rings(this);
    }

    /** What is to be done once, and by whom. */
    public Tasks tasks() {
        return new Tasks(this);
    }

    /** Tells of the state as it is, and of each that follows. */
    public void addConnectionListener(ConnectionListener listener) {
        core.events.add(listener);
    }

    public void removeConnectionListener(ConnectionListener listener) {
        core.events.remove(listener);
    }

    /** By this process' own clock: SUSPENDED also when its threads had no chance to notice. */
    public ConnectionState state() {
        ConnectionState told = core.events.state();
        Session session = core.session();
        boolean lives = session != null && session.isKnownToLive();
        return told.isConnected() && !lives ? ConnectionState.SUSPENDED : told;
    }

    /** The number of the session; 0 when it is lost and there is no new one yet. */
    public long sessionId() {
        Session session = core.session();
        return session == null ? 0 : session.reference.getId();
    }

    /** The timeout that the ensemble gave the session; that which was asked for when there is none. */
    public Duration sessionTimeout() {
        Session session = core.session();
        return session == null ? core.options.sessionTimeout : Duration.ofNanos(session.timeoutNanos);
    }

    /** Which run of its client this is, from 1; 0 without a client id, or without a session. */
    public long incarnation() {
        Session session = core.session();
        return session == null ? 0 : session.incarnation;
    }

    /** Whether it, or another handle of it, was closed. */
    public boolean isClosed() {
        return core.closing;
    }

    /**
     * Ends the session with all that is bound to it, at once, and then all threads of the client. Listeners are
     * told LOST. Where no member can be told within 5 seconds, the session ends by itself when its timeout has
     * gone by. Closing what is closed already does nothing. A listener that does not return keeps its thread, and
     * closing waits 5 seconds for it.
     */
    @Override
    public void close() {
        synchronized (core) {
            if (core.closing) {
                return;
            }
            core.closing = true;
        }
        boolean interrupted = Thread.interrupted();
        Session session = core.session();
        if (session != null) {
            CloseRequest request = CloseRequest.newBuilder().setSession(session.reference).build();
            try {
                // The thread that keeps the session goes on meanwhile: it may have to find a member first.
                Duration time = CLOSE_TIME.compareTo(requestTimeout) < 0 ? CLOSE_TIME : requestTimeout;
                core.call(Deadline.in(time), session, SessionServiceGrpc.getCloseMethod(), () -> request);
            } catch (VivariumException error) {
                interrupted |= Thread.interrupted();
                if (!error.is(VivariumException.Kind.SESSION_LOST) && !error.is(VivariumException.Kind.CLOSED)) {
                    Core.LOG.warning("nobody was told that the session ends, which it does with its timeout: "
                            + error.getMessage());
                }
            }
            session.lose();
        }
        stop();
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void stop() {
        core.closing = true;
        core.stopped = true;
        core.over();
        Deadline deadline = Deadline.in(CLOSE_TIME);
        try {
            core.events.finish(deadline);
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
        core.threads.stop(deadline);
    }

    Deadline deadline() {
        return Deadline.in(requestTimeout);
    }

    ReadOptions readOptions() {
        return ReadOptions.newBuilder()
                .setLinearizable(linearizable)
                .setNotBeforeZxid(core.seen())
                .build();
    }

    WriteHeader header(Session session, long number) {
        WriteHeader.Builder header = WriteHeader.newBuilder().setSession(session.reference).setRequestId(number);
        for (Fence fence : fences) {
            header.addFences(io.vivarium.v1.Fence.newBuilder().setLock(fence.lock()).setToken(fence.token()));
        }
        return header.build();
    }

    /** A read, answered from no earlier than what this client has seen. */
    <Q, A> A read(MethodDescriptor<Q, A> method, Supplier<Q> message) {
        return core.call(deadline(), null, method, message);
    }

    /** A write, which takes effect once however often it is sent. */
    <Q, A> A write(MethodDescriptor<Q, A> method, Function<WriteHeader, Q> message) {
        Deadline deadline = deadline();
        return write(core.session(deadline), deadline, method, message);
    }

    /** A write of this session and of no later one. */
    <Q, A> A write(
            Session session, Deadline deadline, MethodDescriptor<Q, A> method, Function<WriteHeader, Q> message) {
        long number = number(session, deadline);
        try {
            Q request = message.apply(header(session, number));
            return core.call(deadline, session, method, () -> request);
        } finally {
            session.window.answered(number);
        }
    }

    long number(Session session, Deadline deadline) {
        try {
            long number = session.window.take(deadline);
            if (number < 0) {
                throw VivariumException.timedOut(false, null);
            }
            return number;
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
    }
}
