package io.vivarium.client;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.LinkedTransferQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The threads of one client: all daemons, all named {@code vivarium-PURPOSE-CLIENT}, all gone once it is closed.
 *
 * <p>A client never works on a thread of its caller's, nor in a common pool: its session lives on however busy
 * these are.
 */
final class Threads {
    /** What waits to be tidied up; more of it is left to the end of the session. */
    static final int TIDY_MAX = 1_024;
    /**
     * That read and write connections: one for each that is open or being opened, while names are looked up too, and
     * the rest for answers. What comes while all of them are busy waits.
     */
    static final int IO_MAX = 16;
    /** What waits for one of them: more than a client has calls and streams. */
    static final int IO_TASKS_MAX = 4_096;
    /** Of the session that there is and the one before it; there is one more of a session only when one is lost. */
    static final int TOGETHER_MAX = 4;
    private static final long IDLE_SECONDS = 5;
    /** How long whoever ends a thread waits for what it is just doing for a host, such as calling its listener. */
    private static final long END_SECONDS = 5;
    private static final AtomicInteger CLIENTS = new AtomicInteger();

    final int client = CLIENTS.incrementAndGet();
    /** Sockets are read and written here, and answers are taken. Nothing of a host's runs here. */
    final ThreadPoolExecutor io;
    final ScheduledThreadPoolExecutor timer;
    /** Gives back what nobody wants any more. */
    final ThreadPoolExecutor tidy;
    /** Sends what is said of tasks: one thread for each kind of it while some is under way, and for each session. */
    final ThreadPoolExecutor together;
    private final List<Thread> own = new ArrayList<>();
    private final AtomicInteger numbers = new AtomicInteger();
    private final Map<Thread, String> ofIo = new ConcurrentHashMap<>();
    /** Those of the pools, which say that they have ended a moment before their last thread has. */
    private final Set<Thread> pooled = ConcurrentHashMap.newKeySet();

    Threads() {
        io = new ThreadPoolExecutor(
                0, IO_MAX, IDLE_SECONDS, TimeUnit.SECONDS, new Handover(), this::ofIo, Threads::queue);
        timer = new ScheduledThreadPoolExecutor(1, named("timer"));
        timer.setRemoveOnCancelPolicy(true);
        timer.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
        tidy = new ThreadPoolExecutor(
                2, 2, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<Runnable>(TIDY_MAX), numbered("tidy"));
        tidy.allowCoreThreadTimeOut(true);
        together = new ThreadPoolExecutor(
                0, TOGETHER_MAX, IDLE_SECONDS, TimeUnit.SECONDS, new Handover(), numbered("send"),
                Threads::orRefuse);
    }

    private static void orRefuse(Runnable work, ThreadPoolExecutor pool) {
        if (pool.isShutdown()) {
            throw new RejectedExecutionException("the client is closed");
        }
        queue(work, pool);
    }

    /** A pool asks for another thread where nobody waits for work, instead of queueing it. */
    private static final class Handover extends LinkedTransferQueue<Runnable> {
        private static final long serialVersionUID = 1L;

        @Override
        public boolean offer(Runnable work) {
            return tryTransfer(work);
        }
    }

    /** As many threads as there may be are busy, or the pool is shut down. */
    private static void queue(Runnable work, ThreadPoolExecutor pool) {
        if (pool.isShutdown()) {
            // What a connection that was closed has still to say concerns nobody.
            return;
        }
        if (pool.getQueue().size() >= IO_TASKS_MAX) {
            throw new RejectedExecutionException(IO_TASKS_MAX + " others wait for the client's threads");
        }
        ((Handover) pool.getQueue()).put(work);
    }

    private ThreadFactory named(String purpose) {
        return work -> makePooled(purpose + "-" + client, work);
    }

    private ThreadFactory numbered(String purpose) {
        AtomicInteger number = new AtomicInteger();
        return work -> makePooled(purpose + "-" + client + "-" + number.incrementAndGet(), work);
    }

    private Thread ofIo(Runnable work) {
        String name = "io-" + client + "-" + numbers.incrementAndGet();
        return makePooled(name, () -> {
            Thread own = Thread.currentThread();
            ofIo.put(own, own.getName());
            try {
                work.run();
            } finally {
                ofIo.remove(own);
            }
        });
    }

    /** The transport calls the thread that reads by a name of its own: whose it is must be seen in a dump. */
    void nameAgain() {
        ofIo.forEach((thread, name) -> {
            if (!thread.getName().equals(name)) {
                thread.setName(name);
            }
        });
    }

    private Thread makePooled(String name, Runnable work) {
        pooled.removeIf(other -> other.getState() == Thread.State.TERMINATED);
        Thread thread = make(name, work);
        pooled.add(thread);
        return thread;
    }

    private static Thread make(String name, Runnable work) {
        Thread thread = new Thread(work, "vivarium-" + name);
        thread.setDaemon(true);
        // The loader of whoever happens to call is not kept by a thread of ours.
        thread.setContextClassLoader(Threads.class.getClassLoader());
        return thread;
    }

    /** Starts a thread that ends by itself when the client is closed. */
    Thread start(String purpose, Runnable work) {
        Thread thread = make(purpose + "-" + client, work);
        started(thread);
        return thread;
    }

    /** As {@link #start}, for one of many with the same purpose. */
    Thread startNumbered(String purpose, Runnable work) {
        Thread thread = make(purpose + "-" + client + "-" + numbers.incrementAndGet(), work);
        started(thread);
        return thread;
    }

    private void started(Thread thread) {
        synchronized (own) {
            own.removeIf(other -> !other.isAlive());
            // Alive before anybody else may look.
            thread.start();
            own.add(thread);
        }
    }

    /** Ends one of them, unless it is the calling one, and waits until it has ended, or the time is over. */
    static void end(Thread thread) {
        if (Thread.currentThread() == thread) {
            return;
        }
        thread.interrupt();
        try {
            thread.join(TimeUnit.SECONDS.toMillis(END_SECONDS));
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Ends all of them, but for the calling one, and waits until they have ended, or the time is over. */
    void stop(Deadline deadline) {
        List<Thread> all;
        synchronized (own) {
            all = new ArrayList<>(own);
        }
        tidy.shutdownNow();
        // Whoever waits for what is not begun with is told that the client is closed.
        together.shutdownNow().forEach(Runnable::run);
        boolean interrupted = false;
        for (Thread thread : all) {
            if (thread != Thread.currentThread()) {
                thread.interrupt();
            }
        }
        try {
            join(all, deadline);
            timer.shutdownNow();
            io.shutdown();
            boolean ended = ended(tidy, deadline) & ended(together, deadline) & ended(timer, deadline) & ended(io, deadline);
            if (!ended) {
                io.shutdownNow();
            }
            join(pooled, deadline);
        } catch (InterruptedException hurry) {
            interrupted = true;
            timer.shutdownNow();
            io.shutdownNow();
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void join(Collection<Thread> threads, Deadline deadline) throws InterruptedException {
        for (Thread thread : threads) {
            long left = TimeUnit.NANOSECONDS.toMillis(deadline.leftNanos());
            if (thread != Thread.currentThread() && left > 0) {
                thread.join(left);
            }
        }
    }

    private static boolean ended(ExecutorService pool, Deadline deadline) throws InterruptedException {
        return pool.awaitTermination(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS);
    }
}
