package io.vivarium.client;

import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;

/**
 * A lock of the ensemble that belongs to the thread that locked it, as those of the Java library do.
 *
 * <p>The thread that holds it may lock it again, at once and without asking anybody, and has to unlock it as
 * often. Another thread that unlocks it is refused with {@link Reason#NOT_HOLDER} and changes nothing. When the
 * session is lost the lock is, too: {@link #isHeldByCurrentThread} is false from then on, unlocking is
 * {@link VivariumException.Kind#SESSION_LOST} once, and locking asks anew.
 */
public final class DistributedLock implements Lock {
    private final VivariumClient client;
    private final String path;
    private final LockMode mode;

    DistributedLock(VivariumClient client, String path, LockMode mode) {
        this.client = client;
        this.path = path;
        this.mode = mode;
    }

    public String path() {
        return path;
    }

    /**
     * Waits until it is held, for as long as the session lives. Unlike the library's locks it is given up when the
     * thread is interrupted, because nobody could end a wait for another process otherwise.
     *
     * @throws VivariumException SESSION_LOST; KIND_MISMATCH; INTERRUPTED
     */
    @Override
    public void lock() {
        ask(null);
    }

    /** As {@link #lock}. */
    @Override
    public void lockInterruptibly() throws InterruptedException {
        interruptibly(null);
    }

    /** Only if it is free. Waits for the answer, for the request timeout at most. */
    @Override
    public boolean tryLock() {
        return ask(Duration.ZERO);
    }

    /** If it is to be had in time. The answer may take the request timeout longer. */
    @Override
    public boolean tryLock(long time, TimeUnit unit) throws InterruptedException {
        return interruptibly(Duration.ofNanos(Math.max(0, unit.toNanos(time))));
    }

    /** As {@link #tryLock(long, TimeUnit)}; an interrupted thread is {@link VivariumException.Kind#INTERRUPTED}. */
    public boolean tryLock(Duration wait) {
        return ask(Objects.requireNonNull(wait, "wait"));
    }

    private boolean interruptibly(Duration wait) throws InterruptedException {
        try {
            return ask(wait);
        } catch (VivariumException error) {
            if (error.is(VivariumException.Kind.INTERRUPTED)) {
                Thread.interrupted();
                throw (InterruptedException) new InterruptedException(error.getMessage()).initCause(error);
            }
            throw error;
        }
    }

    private boolean ask(Duration wait) {
        Locks.Held.Hold hold = client.heldLocks.get(path, mode);
        if (hold != null) {
            hold.count++;
            return true;
        }
        Optional<LockHandle> handle = client.locks().ask(path, mode, wait, null);
        if (!handle.isPresent()) {
            return false;
        }
        client.heldLocks.put(path, mode, handle.get());
        return true;
    }

    /**
     * Gives it up, once for each time that it was locked.
     *
     * @throws VivariumException NOT_HOLDER where the calling thread does not hold it; SESSION_LOST where it held it
     *     until the session was lost; after any other one the client goes on trying to release it
     */
    @Override
    public void unlock() {
        Locks.Held.Hold hold = client.heldLocks.any(path, mode);
        if (hold == null) {
            throw VivariumException.refused(
                    Reason.NOT_HOLDER,
                    "the lock " + path + " is not held by the thread " + Thread.currentThread().getName());
        }
        if (hold.handle.session.isLost()) {
            client.heldLocks.remove(path, mode);
            throw VivariumException.sessionLost();
        }
        hold.count--;
        if (hold.count == 0) {
            client.heldLocks.remove(path, mode);
            hold.handle.release();
        }
    }

    /** Whether the calling thread holds it, and its session is known to live. */
    public boolean isHeldByCurrentThread() {
        Locks.Held.Hold hold = client.heldLocks.get(path, mode);
        return hold != null && hold.handle.isHeld();
    }

    /** How often the calling thread has to unlock it; 0 if it does not hold it. */
    public int holds() {
        Locks.Held.Hold hold = client.heldLocks.get(path, mode);
        return hold == null ? 0 : hold.count;
    }

    /**
     * The fencing token of the calling thread.
     *
     * @throws VivariumException NOT_HOLDER where it does not hold it
     */
    public Fence fence() {
        Locks.Held.Hold hold = client.heldLocks.get(path, mode);
        if (hold == null) {
            throw VivariumException.refused(
                    Reason.NOT_HOLDER,
                    "the lock " + path + " is not held by the thread " + Thread.currentThread().getName());
        }
        return hold.handle.fence();
    }

    /** There are no conditions over many processes. */
    @Override
    public Condition newCondition() {
        throw new UnsupportedOperationException("a distributed lock has no conditions");
    }
}
