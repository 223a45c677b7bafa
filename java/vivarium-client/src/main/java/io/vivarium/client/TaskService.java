package io.vivarium.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;
import java.util.logging.Level;

/**
 * The task service of a host: which jobs are this server's, and the operations on them that come in.
 *
 * <p>It is what StreamPark knows as {@code FlinkTaskService} and, in later releases, {@code DistributedTaskService}
 * (whose names {@link io.vivarium.client.streampark.DistributedTaskService} has), with a hand-over: what is lost is
 * stopped before the server acknowledges the ring's new epoch, and what is gained is told of once it is granted. An
 * operation and the monitoring of a job go by the same key, the id of the job.
 *
 * <p>At all times: a job is this server's only by an epoch that it acknowledged, while its session is known to live,
 * once it was granted.
 */
public final class TaskService implements AutoCloseable {
    /** Jobs of which one server is told whether they are its own. */
    public static final int JOBS_MAX = 100_000;
    /** How often it is asked for what others have not stopped yet, and looked at what nobody tells of. */
    private static final long ASK_AGAIN_MS = 500;
    private static final Duration CLOSE_TIME = Duration.ofSeconds(30);
    /** Times that it tries to leave a ring that is another one each time; then it leaves it with its session. */
    static final int LEAVE_TRIES_MAX = 10;

    private final VivariumClient client;
    private final String queue;
    private final String ring;
    private final int window;
    private final String server;
    private final TaskHost host;
    private final Thread thread;
    /** Of the calls to {@code lost} and {@code gained}. */
    private final ReentrantLock telling = new ReentrantLock();

    /** Guards what follows, and is notified when any of it changes. */
    private final Object state = new Object();
    private Acting by;
    /** The ring that it is about to act by: what is lost by it is not the server's any more. */
    private Ring next;
    private final Set<Long> monitored = new TreeSet<>();
    private final Set<Long> granted = new TreeSet<>();
    /** Those that the host was told it gained. */
    private final Set<Long> told = new HashSet<>();
    /** How many operations are being executed for a key. */
    private final Map<String, Integer> running = new HashMap<>();
    /** Something is asked for that others have not stopped yet. */
    private boolean withheld;
    /** It has as many jobs as it may be told of, and has said so. */
    private boolean full;
    private Ring latest;
    private VivariumException watchEnded;
    /** Whether it ever acted, and why it could not at first. */
    private boolean acted;
    private VivariumException failed;
    private boolean stopped;

    /** What the server acts by. */
    private static final class Acting {
        final Ring ring;
        final long acknowledged;
        final Session session;

        Acting(Ring ring, long acknowledged, Session session) {
            this.ring = ring;
            this.acknowledged = acknowledged;
            this.session = session;
        }
    }

    private TaskService(VivariumClient client, String queue, String ring, int window, String server, TaskHost host) {
        this.client = client;
        this.queue = queue;
        this.ring = ring;
        this.window = window;
        this.server = server;
        this.host = host;
        thread = client.core.threads.startNumbered("task-service", this::run);
    }

    /**
     * Registers {@code server} ({@code ip:port}) in the ring for as long as the client's session lives, and returns
     * once it acts by an epoch. When the session is lost, so is everything, and it begins anew with the next one.
     *
     * @param queue path of the task queue
     * @param ring path of the ring: its servers are the entries right below
     * @param window operations that are executed at once; 1 to 256
     * @throws VivariumException ACCESS_DENIED and the like; TIMED_OUT after the request timeout, as where another
     *     session stands for the server all the time
     */
    public static TaskService init(
            VivariumClient client, String queue, String ring, int window, String server, TaskHost host) {
        if (window < 1 || window > TaskWorker.WINDOW_MAX) {
            throw VivariumException.invalid("a window is of 1 to " + TaskWorker.WINDOW_MAX + " tasks");
        }
        TaskService service = new TaskService(client, queue, ring, window, server, host);
        boolean acts = false;
        try {
            service.awaitActing(client.deadline());
            acts = true;
            return service;
        } finally {
            if (!acts) {
                service.stop();
            }
        }
    }

    private void awaitActing(Deadline deadline) {
        synchronized (state) {
            while (!acted) {
                if (failed != null) {
                    throw failed.again();
                }
                if (deadline.isOver()) {
                    throw VivariumException.timedOut(true, null);
                }
                try {
                    deadline.waitOn(state);
                } catch (InterruptedException interrupted) {
                    throw VivariumException.interrupted(true, interrupted);
                }
            }
        }
    }

    /** The epoch of the ring by which it acts. */
    public OptionalLong epoch() {
        synchronized (state) {
            return by == null ? OptionalLong.empty() : OptionalLong.of(by.ring.epoch());
        }
    }

    /**
     * Records an operation on a job, whose id as text is the key of the task; whoever owns the job carries it out.
     * Returns before that, and once it is durable. Every operation is recorded, those on this server's own jobs
     * too.
     */
    public Enqueued save(Task task) {
        return client.tasks().enqueue(queue, task);
    }

    /**
     * Whether the job is this server's: granted to it, and its session known to live. On an empty ring nothing is;
     * where there is one server, everything is. What cannot be asked for is not, and while the client is suspended
     * nothing is, without waiting.
     */
    public boolean isLocalProcessing(long job) {
        if (isLocal(job)) {
            return true;
        }
        synchronized (state) {
            if (by == null || !by.session.isKnownToLive()) {
                return false;
            }
        }
        List<Long> jobs = new ArrayList<>();
        jobs.add(job);
        ask(jobs);
        return isLocal(job);
    }

    /**
     * Those of the jobs that are this server's, in their order; 100,000 at most are looked at. From now on, and
     * until the next call, the host is told of those that it gains. Not to be called by {@link TaskHost#lost} and
     * {@link TaskHost#gained}.
     */
    public List<Long> monitored(Collection<Long> jobs) {
        List<Long> all = new ArrayList<>();
        for (Long job : jobs) {
            if (all.size() < JOBS_MAX) {
                all.add(job);
            }
        }
        synchronized (state) {
            monitored.clear();
            monitored.addAll(all);
        }
        if (gain()) {
            synchronized (state) {
                withheld = true;
                state.notifyAll();
            }
        }
        all.removeIf(job -> !isLocal(job));
        return all;
    }

    /**
     * Adds a server to the ring that does not register itself; it stays until it is removed. One that is there
     * already is left as it is.
     */
    public void addServerRedistribute(String other) {
        try {
            client.registry().put(entry(other), "");
        } catch (VivariumException error) {
            if (!error.is(Reason.ALREADY_REGISTERED) && !error.is(Reason.KIND_MISMATCH)) {
                throw error;
            }
        }
    }

    /** Takes a server off the ring, however it came there; its jobs go to others. That it is not there is no error. */
    public void removeServerRedistribute(String other) {
        client.registry().delete(entry(other));
    }

    /**
     * Stops everything, which the host is told of, and leaves the ring; what is being executed comes to its end,
     * which is waited for for 30 seconds.
     */
    @Override
    public void close() {
        stop();
        if (Thread.currentThread() == thread) {
            return;
        }
        try {
            thread.join(CLOSE_TIME.toMillis());
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void stop() {
        synchronized (state) {
            stopped = true;
            state.notifyAll();
        }
    }

    private boolean isStopped() {
        synchronized (state) {
            return stopped;
        }
    }

    private String entry(String other) {
        return ring + "/" + other;
    }

    private void run() {
        Backoff backoff = new Backoff();
        while (!isStopped()) {
            VivariumException why;
            try {
                act(client.core.session(Deadline.in(Duration.ofSeconds(1))), backoff);
                why = null;
            } catch (VivariumException error) {
                why = error;
            } catch (InterruptedException closed) {
                why = VivariumException.closed();
            } catch (RuntimeException | Error fault) {
                // Nobody would hand anything over from now on.
                Core.LOG.log(Level.SEVERE, "the task service of " + server + " failed", fault);
                why = VivariumException.broken(fault.toString());
            }
            loseAll();
            if (why == null || why.is(VivariumException.Kind.SESSION_LOST) && !client.core.isOver()) {
                continue;
            }
            if (client.core.isOver() || why.is(VivariumException.Kind.INTERRUPTED)) {
                fail(why);
                return;
            }
            beginAnew(why, backoff);
        }
        loseAll();
        leave();
    }

    private void beginAnew(VivariumException why, Backoff backoff) {
        Core.LOG.fine(() -> "the task service of " + server + " begins anew: " + why.getMessage());
        boolean mayPass = why.isPassing() || why.is(Reason.ALREADY_REGISTERED)
                || why.is(VivariumException.Kind.TIMED_OUT) || why.is(VivariumException.Kind.SESSION_LOST);
        if (!mayPass) {
            fail(why);
        }
        synchronized (state) {
            Deadline pause = Deadline.inNanos(backoff.nextNanos());
            while (!stopped && !pause.isOver()) {
                try {
                    pause.waitOn(state);
                } catch (InterruptedException closed) {
                    stopped = true;
                }
            }
        }
    }

    private void fail(VivariumException why) {
        synchronized (state) {
            failed = why;
            state.notifyAll();
        }
    }

    /** Until the session is lost, or it is told to stop. */
    private void act(Session session, Backoff backoff) throws InterruptedException {
        try {
            client.registry().register(entry(server), "");
        } catch (VivariumException error) {
            // It is there for good.
            if (!error.is(Reason.KIND_MISMATCH)) {
                throw error;
            }
        }
        synchronized (state) {
            latest = null;
            watchEnded = null;
        }
        Runnable lost = () -> {
            synchronized (state) {
                state.notifyAll();
            }
        };
        session.whenLost(lost);
        try (RingWatch watch = client.rings().watch(ring, RingMode.EQUAL, watching())) {
            Ring current = null;
            for (;;) {
                current = awaitOther(current, session);
                if (current == null) {
                    return;
                }
                try {
                    moveTo(current, session);
                } catch (VivariumException error) {
                    // The next one is about to be told.
                    if (error.is(Reason.STALE_EPOCH)) {
                        continue;
                    }
                    throw error;
                }
                backoff.reset();
                synchronized (state) {
                    acted = true;
                    failed = null;
                    state.notifyAll();
                }
                // What was fetched and not begun is given back where it ends.
                try (TaskWorker worker = worker()) {
                    serve(worker, current, session);
                }
            }
        } finally {
            session.forget(lost);
        }
    }

    private RingListener watching() {
        return new RingListener() {
            @Override
            public void changed(Ring changed) {
                synchronized (state) {
                    latest = changed;
                    state.notifyAll();
                }
            }

            @Override
            public void ended(VivariumException why) {
                synchronized (state) {
                    watchEnded = why;
                    state.notifyAll();
                }
            }
        };
    }

    private TaskWorker worker() {
        Fetching fetching = Fetching.owned(queue, ring, server).limit(window);
        return new TaskWorker(client, fetching, host::execute, task -> count(task, 1), task -> count(task, -1));
    }

    private void count(ClaimedTask task, int one) {
        synchronized (state) {
            running.merge(task.task().key(), one, (before, more) -> before + more == 0 ? null : before + more);
            state.notifyAll();
        }
    }

    /** Another ring than this; {@code null} when it is to stop. */
    private Ring awaitOther(Ring current, Session session) throws InterruptedException {
        synchronized (state) {
            for (;;) {
                if (stopped) {
                    return null;
                }
                check(session);
                if (latest != null && latest != current) {
                    return latest;
                }
                state.wait(ASK_AGAIN_MS);
            }
        }
    }

    private void check(Session session) {
        if (session.isLost()) {
            throw VivariumException.sessionLost();
        }
        if (watchEnded != null) {
            throw watchEnded.again();
        }
    }

    /** Until the ring is another one, or there is a reason to end. */
    private void serve(TaskWorker worker, Ring current, Session session) throws InterruptedException {
        boolean asks = gain();
        for (;;) {
            synchronized (state) {
                if (!stopped && latest == current && !session.isLost() && !withheld) {
                    state.wait(ASK_AGAIN_MS);
                }
                if (stopped || latest != current) {
                    return;
                }
                check(session);
                asks |= withheld;
                withheld = false;
            }
            VivariumException ended = worker.error();
            if (ended != null) {
                throw ended.again();
            }
            if (asks) {
                asks = gain();
            }
        }
    }

    /** Stops what is not its own by this ring, and acts by it. */
    private void moveTo(Ring to, Session session) throws InterruptedException {
        telling.lockInterruptibly();
        try {
            List<Long> lost = new ArrayList<>();
            synchronized (state) {
                next = to;
                for (Long job : granted) {
                    if (!to.isLocal(server, job)) {
                        lost.add(job);
                    }
                }
            }
            tellLost(lost);
            synchronized (state) {
                granted.removeAll(lost);
                told.removeAll(lost);
            }
            awaitDrained(key -> !server.equals(to.owner(key)));
            long acknowledged = client.rings().acknowledge(ring, server, to.epoch());
            synchronized (state) {
                next = null;
                by = new Acting(to, acknowledged, session);
            }
        } finally {
            telling.unlock();
        }
    }

    private void tellLost(List<Long> lost) {
        if (lost.isEmpty()) {
            return;
        }
        try {
            host.lost(lost);
        } catch (RuntimeException | Error error) {
            // The jobs are handed over all the same: nobody would ever have them otherwise.
            Core.LOG.log(Level.SEVERE, "the host failed to stop what is not its own any more", error);
        }
    }

    /** Returns once nothing is being executed for such keys. */
    private void awaitDrained(Predicate<String> lost) throws InterruptedException {
        synchronized (state) {
            while (running.keySet().stream().anyMatch(lost)) {
                state.wait();
            }
        }
    }

    /** Tells the host of the monitored jobs that are granted by now; whether some are not yet. */
    private boolean gain() {
        telling.lock();
        try {
            List<Long> jobs;
            synchronized (state) {
                jobs = new ArrayList<>(monitored);
            }
            boolean some = ask(jobs);
            List<Long> gained = new ArrayList<>();
            synchronized (state) {
                for (Long job : monitored) {
                    if (granted.contains(job) && told.add(job)) {
                        gained.add(job);
                    }
                }
            }
            if (!gained.isEmpty()) {
                try {
                    host.gained(gained);
                } catch (RuntimeException | Error error) {
                    Core.LOG.log(Level.WARNING, "the host failed to begin with what it gained", error);
                }
            }
            return some;
        } finally {
            telling.unlock();
        }
    }

    /** Finds out which of the jobs are granted; whether some that are its own are not yet. */
    private boolean ask(List<Long> jobs) {
        Acting acting;
        List<Long> wanted = new ArrayList<>();
        synchronized (state) {
            acting = by;
            if (acting == null) {
                return false;
            }
            for (Long job : jobs) {
                if (!granted.contains(job) && acting.ring.isLocal(server, job)) {
                    wanted.add(job);
                }
            }
        }
        boolean some = false;
        for (int from = 0; from < wanted.size(); from += Rings.KEYS_MAX) {
            List<Long> part = wanted.subList(from, Math.min(wanted.size(), from + Rings.KEYS_MAX));
            List<String> keys = new ArrayList<>();
            part.forEach(job -> keys.add(job.toString()));
            List<KeyGrant> grants;
            try {
                grants = client.rings().granted(ring, server, acting.acknowledged, keys);
            } catch (VivariumException error) {
                Core.LOG.fine(() -> "what is granted to " + server + " is not known: " + error.getMessage());
                return true;
            }
            synchronized (state) {
                if (by == null || by.acknowledged != acting.acknowledged) {
                    return true;
                }
                for (int at = 0; at < part.size(); at++) {
                    boolean stays = next == null || next.isLocal(server, part.get(at));
                    if (!grants.get(at).granted() || !stays) {
                        some = true;
                    } else if (granted.size() < JOBS_MAX) {
                        granted.add(part.get(at));
                    } else if (!full) {
                        // Asking again would not help.
                        full = true;
                        Core.LOG.warning("the task service of " + server + " was asked of more than " + JOBS_MAX
                                + " jobs that are its own; further ones are not until it is lost and gained anew");
                    }
                }
            }
        }
        return some;
    }

    private boolean isLocal(long job) {
        synchronized (state) {
            return by != null
                    && by.session.isKnownToLive()
                    && granted.contains(job)
                    && (next == null || next.isLocal(server, job));
        }
    }

    private void loseAll() {
        telling.lock();
        try {
            List<Long> lost;
            synchronized (state) {
                by = null;
                next = null;
                told.clear();
                lost = new ArrayList<>(granted);
                granted.clear();
                full = false;
            }
            tellLost(lost);
            awaitDrained(key -> true);
        } catch (InterruptedException closed) {
            // The client is closed, and its session with it: nobody waits for what is still being executed.
            stop();
        } finally {
            telling.unlock();
        }
    }

    /** Off the ring, and acts by it no more: others need not wait for the end of the session. */
    private void leave() {
        try {
            client.registry().delete(entry(server));
            Rings newest = client.linearizable().rings();
            Backoff backoff = new Backoff();
            for (int turn = 1;; turn++) {
                Ring now = newest.describe(ring, RingMode.EQUAL);
                try {
                    client.rings().acknowledge(ring, server, now.epoch());
                    return;
                } catch (VivariumException error) {
                    if (!error.is(Reason.STALE_EPOCH) || turn == LEAVE_TRIES_MAX) {
                        throw error;
                    }
                }
                backoff.sleep();
            }
        } catch (InterruptedException closed) {
            // The client is closed, and its session with it.
        } catch (VivariumException error) {
            Core.LOG.fine(() -> server + " leaves the ring when its session ends: " + error.getMessage());
        }
    }
}
