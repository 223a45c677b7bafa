package io.vivarium.client;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Calls about tasks that are sent together with whatever else is waiting.
 *
 * <p>At all times: one batch of a kind is under way for a session. What comes meanwhile waits for its answer, and goes
 * with the next one; what comes while nothing is under way is sent at once. A batch is refused as a whole: its parts are
 * then sent one by one, so that nobody is refused for somebody else's part.
 *
 * @param <P> what is said of one task
 * @param <A> what is answered for it
 */
final class Together<P, A> {
    /** Parts of one batch. */
    static final int PARTS_MAX = 64;
    /** Bytes of one batch, unless it has one part. */
    static final int BYTES_MAX = 512 * 1024;
    /** Parts that wait or are under way; more of them wait for their turn. */
    static final int PENDING_MAX = 1_024;

    /** Says parts of one queue: one answer for each. */
    interface Sending<P, A> {
        List<A> send(VivariumClient client, Session session, Deadline deadline, String queue, List<P> parts);
    }

    /** A part that somebody waits for. */
    private static final class Waiting<P, A> {
        final VivariumClient client;
        final String queue;
        final P part;
        final int bytes;
        final Deadline deadline;
        boolean sent;
        boolean ended;
        A answer;
        VivariumException error;

        Waiting(VivariumClient client, String queue, P part, int bytes, Deadline deadline) {
            this.client = client;
            this.queue = queue;
            this.part = part;
            this.bytes = bytes;
            this.deadline = deadline;
        }

        synchronized void ended(A answer, VivariumException error) {
            this.answer = answer;
            this.error = error;
            ended = true;
            notifyAll();
        }

        /** Whether it is to be sent: not if whoever waited for it has gone. */
        synchronized boolean begin() {
            sent = !ended;
            return sent;
        }

        /** The answer, once there is one. Given up before it is sent, it is not sent. */
        synchronized A await() {
            while (!ended) {
                if (deadline.isOver()) {
                    ended = true;
                    throw VivariumException.timedOut(sent, null);
                }
                try {
                    deadline.waitOn(this);
                } catch (InterruptedException interrupted) {
                    boolean before = ended;
                    ended = true;
                    if (!before) {
                        throw VivariumException.interrupted(sent, interrupted);
                    }
                    Thread.currentThread().interrupt();
                }
            }
            if (error != null) {
                throw error.again();
            }
            return answer;
        }
    }

    private final Sending<P, A> sending;
    private final Semaphore room = new Semaphore(PENDING_MAX);
    private final ArrayDeque<Waiting<P, A>> line = new ArrayDeque<>();
    /** Somebody sends what is waiting. */
    private boolean served;

    Together(Sending<P, A> sending) {
        this.sending = sending;
    }

    /** Sends a part with whatever else is waiting; what it came to. One with fences goes by itself. */
    A send(VivariumClient client, Session session, Deadline deadline, String queue, P part, int bytes) {
        if (client.isFenced()) {
            return alone(client, session, deadline, queue, part);
        }
        try {
            if (!room.tryAcquire(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS)) {
                throw VivariumException.timedOut(false, null);
            }
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
        try {
            Waiting<P, A> waiting = new Waiting<>(client, queue, part, bytes, deadline);
            if (join(waiting)) {
                boolean begun = false;
                try {
                    client.core.threads.together.execute(() -> serve(session));
                    begun = true;
                } catch (RejectedExecutionException full) {
                    throw VivariumException.closed();
                } finally {
                    if (!begun) {
                        abandon();
                    }
                }
            }
            return waiting.await();
        } finally {
            room.release();
        }
    }

    /** Parts that wait or are under way. */
    int pending() {
        return PENDING_MAX - room.availablePermits();
    }

    /** Whether whoever asks has to see that what is waiting is sent. */
    private boolean join(Waiting<P, A> waiting) {
        synchronized (line) {
            if (waiting.client.core.isOver()) {
                throw VivariumException.closed();
            }
            line.add(waiting);
            boolean first = !served;
            served = true;
            return first;
        }
    }

    /** Nobody will send any of it. */
    private void abandon() {
        List<Waiting<P, A>> left;
        synchronized (line) {
            left = new ArrayList<>(line);
            line.clear();
            served = false;
        }
        left.forEach(waiting -> waiting.ended(null, VivariumException.closed()));
    }

    /**
     * The first that waits, and those behind it that go to the same queue. Nobody serves the line any more once there is
     * none.
     */
    private List<Waiting<P, A>> next() {
        List<Waiting<P, A>> batch = new ArrayList<>();
        int bytes = 0;
        synchronized (line) {
            for (Iterator<Waiting<P, A>> each = line.iterator(); each.hasNext() && batch.size() < PARTS_MAX;) {
                Waiting<P, A> waiting = each.next();
                boolean fits = batch.isEmpty()
                        || batch.get(0).queue.equals(waiting.queue) && bytes + waiting.bytes <= BYTES_MAX;
                if (fits) {
                    each.remove();
                    if (waiting.begin()) {
                        bytes += waiting.bytes;
                        batch.add(waiting);
                    }
                }
            }
            served = !batch.isEmpty();
        }
        return batch;
    }

    private void serve(Session session) {
        for (List<Waiting<P, A>> batch = next(); !batch.isEmpty(); batch = next()) {
            try {
                together(session, batch);
            } catch (RuntimeException | Error fault) {
                VivariumException error = VivariumException.broken(fault.toString());
                batch.forEach(waiting -> waiting.ended(null, error));
                if (fault instanceof Error) {
                    abandon();
                    throw fault;
                }
            }
        }
    }

    private void together(Session session, List<Waiting<P, A>> batch) {
        List<P> parts = new ArrayList<>();
        Deadline deadline = batch.get(0).deadline;
        for (Waiting<P, A> waiting : batch) {
            parts.add(waiting.part);
            // Whoever waits less long stops waiting by himself.
            deadline = waiting.deadline.leftNanos() > deadline.leftNanos() ? waiting.deadline : deadline;
        }
        Waiting<P, A> first = batch.get(0);
        try {
            List<A> answers = sending.send(first.client, session, deadline, first.queue, parts);
            if (answers.size() != batch.size()) {
                throw VivariumException.broken("there are not as many answers as there were tasks");
            }
            for (int at = 0; at < batch.size(); at++) {
                batch.get(at).ended(answers.get(at), null);
            }
        } catch (VivariumException error) {
            // A thread of ours is interrupted when the client is closed, and nobody of those that wait was.
            VivariumException told = error.is(VivariumException.Kind.INTERRUPTED)
                    ? VivariumException.closed().again(true) : error;
            if (batch.size() == 1 || !isOfOne(error)) {
                batch.forEach(waiting -> waiting.ended(null, told));
                return;
            }
            batch.forEach(waiting -> {
                try {
                    waiting.ended(alone(waiting.client, session, waiting.deadline, waiting.queue, waiting.part), null);
                } catch (VivariumException of) {
                    waiting.ended(null, of);
                }
            });
        }
    }

    private A alone(VivariumClient client, Session session, Deadline deadline, String queue, P part) {
        List<A> answers = sending.send(client, session, deadline, queue, Collections.singletonList(part));
        if (answers.size() != 1) {
            throw VivariumException.broken("there is not one answer for one task");
        }
        return answers.get(0);
    }

    /**
     * Whether a batch may have been refused for one of its parts, with nothing changed. One that was done and cannot be
     * told again is not sent again.
     */
    private static boolean isOfOne(VivariumException error) {
        return error.is(VivariumException.Kind.REFUSED) && !error.isPassing() && !error.is(Reason.COMPACTED)
                && !error.is(Reason.SESSION_EXPIRED) && !error.is(Reason.INTERNAL);
    }
}
