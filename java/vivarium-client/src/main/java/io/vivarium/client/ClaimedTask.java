package io.vivarium.client;

import io.vivarium.v1.FailedAttempt;
import io.vivarium.v1.FinishRequest;
import io.vivarium.v1.FinishResponse;
import io.vivarium.v1.FinishedTask;
import io.vivarium.v1.TaskServiceGrpc;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;

/**
 * A task that this client's session has claimed: to be done, and then completed or failed. Closed before, its
 * attempt has failed.
 *
 * <p>While the client is cut off its session may end, and the next one may begin with the task: what must not be
 * done twice is fenced ({@link VivariumClient#fenced}), or stops when {@link #isHeld} is false.
 */
public final class ClaimedTask implements AutoCloseable {
    /** Bytes of an error that are kept. */
    static final int ERROR_BYTES_MAX = 4 * 1024;

    private final VivariumClient client;
    final Session session;
    private final String queue;
    private final io.vivarium.v1.ClaimedTask claimed;
    private boolean open = true;

    ClaimedTask(VivariumClient client, Session session, String queue, io.vivarium.v1.ClaimedTask claimed) {
        this.client = client;
        this.session = session;
        this.queue = queue;
        this.claimed = claimed;
    }

    public String queue() {
        return queue;
    }

    public long id() {
        return claimed.getId();
    }

    /** Of the claim; larger than that of every earlier claim of this task. */
    public long token() {
        return claimed.getToken();
    }

    public Task task() {
        return new Task(claimed.getTask());
    }

    /** This one included. */
    public int attempts() {
        return claimed.getAttempts();
    }

    /** Of the ring, by which the server is the owner; 0 without a ring. */
    public long epoch() {
        return claimed.getEpoch();
    }

    /** What the attempt before failed of; empty if there was none. */
    public String lastError() {
        return claimed.getError();
    }

    /** Whether nothing was said of it yet, and the session that claimed it is known to live, by our own clock. */
    public boolean isHeld() {
        return isOpen() && session.isKnownToLive();
    }

    synchronized boolean isOpen() {
        return open;
    }

    /**
     * The task is done: it is gone with its claim, in one step.
     *
     * @throws VivariumException NOT_CLAIMED_BY_YOU or SESSION_LOST where it was not claimed any more; after any
     *     other one it is given up: the attempt has failed
     */
    public void complete() {
        finish(client, FinishedTask.newBuilder());
    }

    /**
     * The attempt failed: the task is tried again once {@code retryAfter} has passed (30 days at most), or is dead
     * after its last attempt, which is answered. 4 KiB of the error are kept.
     *
     * @throws VivariumException as {@link #complete}
     */
    public boolean fail(String error, Duration retryAfter) {
        return finish(client.withoutFences(), failed(shortened(error), retryAfter, false));
    }

    /**
     * Nothing was begun: the attempt does not count, and the task is offered again at once.
     *
     * @throws VivariumException as {@link #complete}
     */
    public void giveBack() {
        finish(client.withoutFences(), failed("", Duration.ZERO, true));
    }

    /** If nothing was said of it yet: the attempt failed, which is said in the background as well as that goes. */
    @Override
    public void close() {
        if (isOpen()) {
            giveUp("closed before it was finished", false);
        }
    }

    void giveBackLater() {
        if (isOpen()) {
            giveUp("", true);
        }
    }

    private void giveUp(String error, boolean notBegun) {
        synchronized (this) {
            open = false;
        }
        if (session.isLost()) {
            return;
        }
        FinishedTask failed = named(failed(error, Duration.ZERO, notBegun));
        client.core.tidy("the task " + id() + " of " + queue, () -> {
            try {
                // As long as the session lives, nobody else would ever have it.
                send(client.withoutFences(), Deadline.NEVER, failed);
            } finally {
                session.claims.remove(id(), token());
            }
        });
    }

    private boolean finish(VivariumClient by, FinishedTask.Builder finished) {
        synchronized (this) {
            if (!open) {
                throw VivariumException.refused(
                        Reason.NOT_CLAIMED_BY_YOU, "what became of the task " + id() + " was said before");
            }
        }
        boolean dead;
        try {
            dead = send(by, client.deadline(), named(finished));
        } catch (VivariumException error) {
            if (error.is(Reason.NOT_CLAIMED_BY_YOU) || error.is(VivariumException.Kind.SESSION_LOST)) {
                done();
            } else if (error.mayBeDone() || error.is(VivariumException.Kind.TIMED_OUT)) {
                giveUp("what became of it was not answered", false);
            }
            throw error;
        }
        done();
        return dead;
    }

    private void done() {
        synchronized (this) {
            open = false;
        }
        session.claims.remove(id(), token());
    }

    private FinishedTask named(FinishedTask.Builder finished) {
        return finished.setId(id()).setToken(token()).build();
    }

    /** That a lock is not held any more is no reason to keep a task: not to be sent with fences. */
    private static FinishedTask.Builder failed(String error, Duration retryAfter, boolean notBegun) {
        return FinishedTask.newBuilder().setFailed(FailedAttempt.newBuilder()
                .setError(error)
                .setRetryAfterMs(Tasks.millis(retryAfter))
                .setNotBegun(notBegun));
    }

    /** With what is said of other tasks of the queue meanwhile; whether it is dead. */
    private boolean send(VivariumClient by, Deadline deadline, FinishedTask finished) {
        return session.finishing.send(by, session, deadline, queue, finished, finished.getSerializedSize());
    }

    static List<Boolean> send(
            VivariumClient client, Session session, Deadline deadline, String queue, List<FinishedTask> parts) {
        FinishResponse answer = client.write(
                session, deadline, TaskServiceGrpc.getFinishMethod(), header -> FinishRequest.newBuilder()
                        .setHeader(header)
                        .setQueue(queue)
                        .addAllTasks(parts)
                        .build());
        client.core.saw(answer.getZxid());
        return answer.getDeadList();
    }

    /** As much of an error as a task keeps. */
    static String shortened(String error) {
        byte[] bytes = String.valueOf(error).getBytes(StandardCharsets.UTF_8);
        int end = Math.min(bytes.length, ERROR_BYTES_MAX);
        while (end < bytes.length && (bytes[end] & 0xc0) == 0x80) {
            end--;
        }
        return new String(bytes, 0, end, StandardCharsets.UTF_8);
    }

    @Override
    public String toString() {
        return "task " + id() + " with token " + token() + ": " + task();
    }
}
