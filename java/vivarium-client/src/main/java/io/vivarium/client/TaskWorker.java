package io.vivarium.client;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.logging.Level;

/**
 * Fetches tasks of a queue and has them carried out, no more at once than its {@link Fetching#limit}, until it is
 * closed or the client is. It goes on with later sessions of its client.
 */
public final class TaskWorker implements AutoCloseable {
    /** Tasks of one worker that are carried out at once. */
    public static final int WINDOW_MAX = 256;
    private static final Duration WAIT = Duration.ofSeconds(60);

    private final VivariumClient client;
    private final Fetching fetching;
    private final TaskHandler handler;
    /** Is told that a task is begun with, and that it has ended. */
    private final Consumer<ClaimedTask> begun;
    private final Consumer<ClaimedTask> ended;
    private final Semaphore window;
    private final Thread thread;
    /** Tasks that are being carried out. Guarded by the window, which is notified when it is 0. */
    private int carriedOut;
    private volatile boolean closed;
    private volatile VivariumException error;

    TaskWorker(VivariumClient client, Fetching fetching, TaskHandler handler) {
        this(client, fetching, handler, task -> {}, task -> {});
    }

    TaskWorker(
            VivariumClient client,
            Fetching fetching,
            TaskHandler handler,
            Consumer<ClaimedTask> begun,
            Consumer<ClaimedTask> ended) {
        if (fetching.limit < 1 || fetching.limit > WINDOW_MAX) {
            throw VivariumException.invalid("a window is of 1 to " + WINDOW_MAX + " tasks");
        }
        this.client = client;
        this.fetching = fetching.copy();
        this.handler = handler;
        this.begun = begun;
        this.ended = ended;
        window = new Semaphore(fetching.limit);
        thread = client.core.threads.startNumbered("tasks", this::run);
    }

    private void run() {
        Backoff backoff = new Backoff();
        try {
            while (!closed) {
                window.acquire();
                int room = 1 + window.drainPermits();
                int wanted = Math.min(room, Tasks.FETCH_MAX);
                window.release(room - wanted);
                int used = 0;
                try {
                    List<ClaimedTask> tasks =
                            client.tasks().fetch(fetching.copy().limit(wanted).waiting(WAIT));
                    for (ClaimedTask task : tasks) {
                        if (closed) {
                            task.giveBackLater();
                        } else {
                            used++;
                            begin(task);
                        }
                    }
                    backoff.reset();
                } catch (VivariumException failed) {
                    if (closed || !goesOnAfter(failed)) {
                        throw failed;
                    }
                    Core.LOG.fine(() -> "tasks of " + fetching.queue + " are fetched anew: " + failed.getMessage());
                    backoff.sleep();
                } finally {
                    window.release(wanted - used);
                }
            }
        } catch (InterruptedException stop) {
            error = VivariumException.closed();
        } catch (VivariumException failed) {
            error = failed;
            if (!closed && !failed.is(VivariumException.Kind.CLOSED)) {
                Core.LOG.log(Level.WARNING, "no more tasks of " + fetching.queue + " are fetched", failed);
            }
        }
    }

    private static boolean goesOnAfter(VivariumException error) {
        return error.isPassing() || error.is(VivariumException.Kind.TIMED_OUT)
                || error.is(VivariumException.Kind.SESSION_LOST);
    }

    private void begin(ClaimedTask task) {
        begun.accept(task);
        synchronized (window) {
            carriedOut++;
        }
        client.core.threads.startNumbered("task", () -> {
            Thread own = Thread.currentThread();
            Runnable breakOff = own::interrupt;
            task.session.whenLost(breakOff);
            try {
                carryOut(task);
            } finally {
                task.session.forget(breakOff);
                ended.accept(task);
                window.release();
                synchronized (window) {
                    carriedOut--;
                    window.notifyAll();
                }
            }
        });
    }

    private void carryOut(ClaimedTask task) {
        try {
            handler.execute(task);
            if (task.isOpen()) {
                task.complete();
            }
        } catch (TaskFailure failure) {
            fail(task, failure, failure.retryAfter());
        } catch (VivariumException said) {
            if (task.isOpen()) {
                fail(task, said, Duration.ZERO);
            } else {
                Core.LOG.fine(() -> "what became of " + task + " is not said: " + said.getMessage());
            }
        } catch (Exception failure) {
            fail(task, failure, Duration.ZERO);
        } catch (Error fault) {
            fail(task, fault, Duration.ZERO);
            throw fault;
        }
    }

    private static void fail(ClaimedTask task, Throwable failure, Duration retryAfter) {
        // Whoever was interrupted says why all the same.
        Thread.interrupted();
        String why = failure instanceof TaskFailure ? failure.getMessage() : failure.toString();
        Core.LOG.fine(() -> task + " failed: " + why);
        try {
            if (task.isOpen() && !task.session.isLost()) {
                task.fail(why, retryAfter);
            }
        } catch (VivariumException error) {
            Core.LOG.fine(() -> "that " + task + " failed is not said: " + error.getMessage());
        }
    }

    /** Why no more tasks are fetched; {@code null} while they are. */
    public VivariumException error() {
        return error;
    }

    /** Returns once nothing is carried out; false if the time is over before. */
    public boolean awaitIdle(Duration time) {
        Deadline deadline = Deadline.in(time);
        synchronized (window) {
            while (carriedOut > 0 && !deadline.isOver()) {
                try {
                    deadline.waitOn(window);
                } catch (InterruptedException interrupted) {
                    throw VivariumException.interrupted(false, interrupted);
                }
            }
            return carriedOut == 0;
        }
    }

    /**
     * No more tasks are fetched; what was fetched and not begun with is given back, without counting an attempt.
     * What is being carried out comes to its end, which {@link #awaitIdle} waits for.
     */
    @Override
    public void close() {
        closed = true;
        thread.interrupt();
        if (Thread.currentThread() == thread) {
            return;
        }
        boolean interrupted = false;
        try {
            thread.join(TimeUnit.SECONDS.toMillis(5));
        } catch (InterruptedException again) {
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
