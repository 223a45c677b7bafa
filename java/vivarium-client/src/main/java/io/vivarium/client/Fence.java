package io.vivarium.client;

/**
 * The place in a lock that a write relies on: the write is refused with {@link Reason#STALE_FENCING_TOKEN} unless
 * the holder with this token holds the lock at the moment when the write takes effect.
 */
public final class Fence {
    private final String lock;
    private final long token;

    public Fence(String lock, long token) {
        this.lock = lock;
        this.token = token;
    }

    /** The path of the lock. */
    public String lock() {
        return lock;
    }

    /** Larger than that of every earlier holder. */
    public long token() {
        return token;
    }

    @Override
    public String toString() {
        return lock + "@" + token;
    }
}
