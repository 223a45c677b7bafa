package io.vivarium.client;

import java.time.Duration;

/**
 * A lock that is held, until it is released or its session ends. It belongs to no thread: whoever has the handle
 * may release it.
 *
 * <p>Somebody who removes the lock's entries takes it away without the handle hearing of it: who must be sure has
 * writes carry the token ({@link VivariumClient#fenced}).
 */
public final class LockHandle implements AutoCloseable {
    private final VivariumClient client;
    final Session session;
    private final String lock;
    private final String owner;
    private final long token;
    private boolean open = true;

    LockHandle(VivariumClient client, Session session, String lock, String owner, long token) {
        this.client = client;
        this.session = session;
        this.lock = lock;
        this.owner = owner;
        this.token = token;
    }

    /** The path of the lock. */
    public String lock() {
        return lock;
    }

    /** The fencing token: larger than that of every earlier holder. */
    public long token() {
        return token;
    }

    public Fence fence() {
        return new Fence(lock, token);
    }

    /**
     * Whether the session that holds it is known to live, by this process' own clock. False while the client is
     * SUSPENDED, true again when it is RECONNECTED, and false for ever once the session is LOST.
     */
    public boolean isHeld() {
        synchronized (this) {
            if (!open) {
                return false;
            }
        }
        return session.isKnownToLive();
    }

    /** Returns true once the session is lost, and the lock with it; false if the time is over before. */
    public boolean awaitLost(Duration time) {
        try {
            return session.awaitLost(Deadline.in(time));
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
    }

    /**
     * Gives the lock to the next one. Releasing what is released already does nothing.
     *
     * @throws VivariumException NOT_HOLDER or SESSION_LOST where it was not held any more; after any other one the
     *     client goes on trying to release it
     */
    public void release() {
        synchronized (this) {
            if (!open) {
                return;
            }
            open = false;
        }
        try {
            Locks.release(client, session, client.deadline(), lock, owner);
        } catch (VivariumException error) {
            if (error.mayBeDone() || error.is(VivariumException.Kind.TIMED_OUT)
                    || error.is(VivariumException.Kind.INTERRUPTED)) {
                // As long as the session lives, nobody else would ever have it.
                if (!session.isLost()) {
                    client.core.tidy("the lock " + lock, () ->
                            Locks.release(client, session, Deadline.NEVER, lock, owner));
                }
            }
            throw error;
        }
    }

    /** As {@link #release}; that it was not held any more, or is not released yet, is no error. */
    @Override
    public void close() {
        try {
            release();
        } catch (VivariumException error) {
            Core.LOG.fine(() -> "the lock " + lock + " was not released: " + error.getMessage());
        }
    }

    @Override
    public String toString() {
        return lock + " with token " + token + (isHeld() ? ", held" : ", not held");
    }
}
