package io.vivarium.client;

import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** The end of a call's time, by this process' own clock. */
final class Deadline {
    /** For what has as much time as its session. */
    static final Deadline NEVER = new Deadline(0, true);
    /** More than anybody waits, and far from the end of the clock's numbers. */
    private static final long LONGEST = TimeUnit.DAYS.toNanos(365L * 100);

    private final long at;
    private final boolean never;

    private Deadline(long at, boolean never) {
        this.at = at;
        this.never = never;
    }

    static Deadline in(Duration time) {
        return inNanos(nanos(time));
    }

    static Deadline inNanos(long nanos) {
        return new Deadline(System.nanoTime() + Math.min(nanos, LONGEST), false);
    }

    Deadline plus(Duration time) {
        return never ? this : new Deadline(at + nanos(time), false);
    }

    /** Negative or 0 when it is over. */
    long leftNanos() {
        return never ? LONGEST : at - System.nanoTime();
    }

    boolean isOver() {
        return leftNanos() <= 0;
    }

    /** Waits on a monitor that the caller has, until somebody notifies it or the time is over. */
    void waitOn(Object monitor) throws InterruptedException {
        long left = leftNanos();
        if (left > 0) {
            // Rounded up: no busy wait in the last fraction of a millisecond.
            monitor.wait(TimeUnit.NANOSECONDS.toMillis(left) + 1);
        }
    }

    /** As much as the clock takes; nothing for what is negative. */
    static long nanos(Duration time) {
        if (time.isNegative()) {
            return 0;
        }
        try {
            return Math.min(time.toNanos(), LONGEST);
        } catch (ArithmeticException tooLong) {
            return LONGEST;
        }
    }
}
