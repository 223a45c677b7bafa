package io.vivarium.client;

/**
 * How a lock is asked for. One lock is not a mutex and a read-write lock at once ({@link Reason#KIND_MISMATCH}).
 */
public enum LockMode {
    /** A mutex, which excludes users of Curator's {@code InterProcessMutex} on the same path. */
    EXCLUSIVE(io.vivarium.v1.LockMode.LOCK_MODE_EXCLUSIVE),
    /** A read-write lock, together with other readers. A waiting writer is not overtaken. */
    READ(io.vivarium.v1.LockMode.LOCK_MODE_READ),
    /** A read-write lock, alone. */
    WRITE(io.vivarium.v1.LockMode.LOCK_MODE_WRITE);

    final io.vivarium.v1.LockMode message;

    LockMode(io.vivarium.v1.LockMode message) {
        this.message = message;
    }

    static LockMode of(io.vivarium.v1.LockMode message) {
        switch (message) {
            case LOCK_MODE_READ:
                return READ;
            case LOCK_MODE_WRITE:
                return WRITE;
            default:
                return EXCLUSIVE;
        }
    }
}
