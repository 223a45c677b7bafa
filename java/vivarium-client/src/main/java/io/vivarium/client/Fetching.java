package io.vivarium.client;

import java.time.Duration;

/** Which tasks are wanted: begin with {@link #from} or {@link #owned}, and change what is to be different. */
public final class Fetching {
    final String queue;
    String server = "";
    int limit = 1;
    Duration wait = Duration.ZERO;
    String ring = "";
    Long epoch;

    private Fetching(String queue) {
        this.queue = queue;
    }

    /** One task, whosever it is, without waiting. */
    public static Fetching from(String queue) {
        return new Fetching(queue);
    }

    /** Those that concern {@code server} by the ring at {@code ring} (of equals). */
    public static Fetching owned(String queue, String ring, String server) {
        Fetching fetching = new Fetching(queue);
        fetching.ring = ring;
        fetching.server = server;
        return fetching;
    }

    Fetching copy() {
        Fetching copy = new Fetching(queue);
        copy.server = server;
        copy.limit = limit;
        copy.wait = wait;
        copy.ring = ring;
        copy.epoch = epoch;
        return copy;
    }

    /** Who asks, as the ring calls it; 256 bytes at most. */
    public Fetching server(String server) {
        this.server = server;
        return this;
    }

    /** 1 to 64 tasks of a fetch; 1 to 256 of a {@link TaskWorker}, which executes so many at once. */
    public Fetching limit(int limit) {
        this.limit = limit;
        return this;
    }

    /** How long to wait if there are none; not at all by default. Nothing for a {@link TaskWorker}. */
    public Fetching waiting(Duration wait) {
        this.wait = wait;
        return this;
    }

    /** By no other epoch of the ring than this. */
    public Fetching epoch(long epoch) {
        this.epoch = epoch;
        return this;
    }
}
