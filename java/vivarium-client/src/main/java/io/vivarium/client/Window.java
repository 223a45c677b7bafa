package io.vivarium.client;

import java.util.TreeSet;

/**
 * Numbers for the writes of one session, such that a write that is sent again is recognised.
 *
 * <p>The ensemble remembers the last 128 successful writes of a session. At all times: no number is given out
 * while one from {@link #WRITES_MAX} before is still without an answer. So of the writes that can succeed between
 * a write and its repetition, fewer than {@code WRITES_MAX} have a larger number and fewer than that a smaller
 * one; with those of lock calls ({@link #LOCK_WAITS_MAX}, {@link #LOCK_ASKS_MAX}), which are remembered by their
 * place in the lock and hold nobody up, that is less than the ensemble remembers.
 */
final class Window {
    /** Writes of one client without an answer. */
    static final int WRITES_MAX = 32;
    /** Calls of one client that wait in the line of a lock. */
    static final int LOCK_WAITS_MAX = 48;
    /** Calls of one client that ask for a lock without waiting, of which none lasts: they pass those that wait. */
    static final int LOCK_ASKS_MAX = 16;
    /** What the ensemble remembers. */
    static final int REMEMBERED = 128;

    private long next = 1;
    private final TreeSet<Long> unanswered = new TreeSet<>();

    /**
     * The next number, once it may be given out; in use until it is given to {@link #answered}.
     *
     * @return -1 if the time is over
     */
    synchronized long take(Deadline deadline) throws InterruptedException {
        while (!unanswered.isEmpty() && next - unanswered.first() >= WRITES_MAX) {
            if (deadline.isOver()) {
                return -1;
            }
            deadline.waitOn(this);
        }
        long number = next++;
        unanswered.add(number);
        return number;
    }

    synchronized void answered(long number) {
        unanswered.remove(number);
        notifyAll();
    }
}
