package io.vivarium.client;

import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** How long to wait before trying again: longer each time up to a bound, and never all at once. */
final class Backoff {
    private static final long FIRST = TimeUnit.MILLISECONDS.toNanos(20);
    private static final long LONGEST = TimeUnit.SECONDS.toNanos(1);

    private final long longest;
    private long next = FIRST;

    Backoff() {
        this(LONGEST);
    }

    private Backoff(long longest) {
        this.longest = longest;
    }

    /** For what has only so much time to come to something: a tenth of that at most. */
    static Backoff within(long nanos) {
        return new Backoff(Math.max(FIRST, Math.min(LONGEST, nanos / 10)));
    }

    /**
     * Between half of the pause and the whole, so that clients that lost the same member do not come back at the
     * same time.
     */
    long nextNanos() {
        long pause = Math.min(next, longest);
        next = Math.min(pause * 2, longest);
        return ThreadLocalRandom.current().nextLong(pause / 2, pause + 1);
    }

    void reset() {
        next = FIRST;
    }

    void sleep() throws InterruptedException {
        TimeUnit.NANOSECONDS.sleep(nextNanos());
    }
}
