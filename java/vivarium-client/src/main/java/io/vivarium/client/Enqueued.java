package io.vivarium.client;

/** What enqueueing came to. */
public final class Enqueued {
    private final long zxid;
    private final long id;
    private final boolean known;

    Enqueued(long zxid, long id, boolean known) {
        this.zxid = zxid;
        this.id = id;
        this.known = known;
    }

    public long zxid() {
        return zxid;
    }

    /** Grows from task to task of a queue, from 0. */
    public long id() {
        return id;
    }

    /** By an earlier call with the same idempotency key. */
    public boolean known() {
        return known;
    }
}
