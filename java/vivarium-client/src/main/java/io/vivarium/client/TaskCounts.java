package io.vivarium.client;

import io.vivarium.v1.CountsResponse;
import java.time.Duration;

/** How many tasks of a queue there are, a moment ago. */
public final class TaskCounts {
    private final CountsResponse counts;

    TaskCounts(CountsResponse counts) {
        this.counts = counts;
    }

    public long pending() {
        return counts.getPending();
    }

    public long delayed() {
        return counts.getDelayed();
    }

    public long claimed() {
        return counts.getClaimed();
    }

    public long dead() {
        return counts.getDead();
    }

    /** Of those that are pending: how long ago the oldest was enqueued. */
    public Duration oldestAge() {
        return Duration.ofMillis(counts.getOldestAgeMs());
    }
}
