package io.vivarium.client;

import io.vivarium.v1.FinishedTask;
import io.vivarium.v1.NewTask;
import io.vivarium.v1.SessionRef;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** A session as its client knows it. */
final class Session {
    final SessionRef reference;
    final long timeoutNanos;
    final long incarnation;
    final Window window = new Window();
    final Claims claims = new Claims();
    final Together<NewTask, Enqueued> enqueuing = new Together<>(Tasks::send);
    final Together<FinishedTask, Boolean> finishing = new Together<>(ClaimedTask::send);

    /** When the last sign of life was sent that was answered. */
    private long sent = System.nanoTime();
    /** Past it nothing is known, if {@link #vouched}. */
    private long until;
    private boolean vouched;
    private boolean lost;
    private final Set<Runnable> whenLost = new LinkedHashSet<>();

    Session(SessionRef reference, long timeoutNanos, long incarnation) {
        this.reference = reference;
        this.timeoutNanos = timeoutNanos;
        this.incarnation = incarnation;
    }

    /**
     * A sign of life that was sent at {@code sent} has been answered just now.
     *
     * <p>What is known holds for a third of the timeout from the answer, and for half of it from the sign: an
     * answer that lay unread while this process was stopped is no news.
     */
    synchronized void vouch(long sent) {
        long fromAnswer = System.nanoTime() + timeoutNanos / 3;
        long fromSign = sent + timeoutNanos / 2;
        this.sent = sent;
        until = fromAnswer - fromSign < 0 ? fromAnswer : fromSign;
        vouched = true;
    }

    /** Nothing is known until the next answer. */
    synchronized void doubt() {
        vouched = false;
    }

    /** When it is suspended unless an answer comes. */
    synchronized long vouchedUntil() {
        return vouched ? until : sent;
    }

    /** When it has ended, whatever the ensemble knows, unless an answer comes. */
    synchronized long ends() {
        return sent + timeoutNanos;
    }

    /** By this process' own clock, also when its threads have not run for a while. */
    synchronized boolean isKnownToLive() {
        return !lost && vouched && System.nanoTime() - until < 0;
    }

    void lose() {
        List<Runnable> told;
        synchronized (this) {
            lost = true;
            notifyAll();
            told = new ArrayList<>(whenLost);
            whenLost.clear();
        }
        told.forEach(Runnable::run);
    }

    /** Has something short done once it is lost, also if it is already; it is no more once it is forgotten. */
    void whenLost(Runnable work) {
        synchronized (this) {
            if (!lost) {
                whenLost.add(work);
                return;
            }
        }
        work.run();
    }

    synchronized void forget(Runnable work) {
        whenLost.remove(work);
    }

    synchronized boolean isLost() {
        return lost;
    }

    /** Returns once it is over; false if the time is over before. */
    synchronized boolean awaitLost(Deadline deadline) throws InterruptedException {
        while (!lost && !deadline.isOver()) {
            deadline.waitOn(this);
        }
        return lost;
    }
}
