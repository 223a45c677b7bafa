package io.vivarium.testkit;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;

/** Something that another thread does. */
public final class Background<T> {
    private final FutureTask<T> task;
    private final Thread thread;

    public Background(Callable<T> work) {
        this.task = new FutureTask<>(work);
        this.thread = new Thread(task, "test-background");
        thread.setDaemon(true);
        thread.start();
    }

    public void interrupt() {
        thread.interrupt();
    }

    /** Waits until it does not run, because it waits itself. */
    public void awaitBlocked() {
        Waiting.until("the thread waits", thread::getState,
            () -> thread.getState() == Thread.State.WAITING || thread.getState() == Thread.State.TIMED_WAITING);
        if (task.isDone()) {
            throw new AssertionError("it is done already");
        }
    }

    public boolean isDone() {
        return task.isDone();
    }

    /** What it came to. */
    public T get() {
        try {
            return task.get(60, TimeUnit.SECONDS);
        } catch (ExecutionException failed) {
            if (failed.getCause() instanceof RuntimeException) {
                throw (RuntimeException) failed.getCause();
            }
            throw new AssertionError(failed.getCause());
        } catch (Exception failed) {
            throw new AssertionError(failed);
        }
    }
}
