package io.vivarium.client;

import io.vivarium.v1.AcquireRequest;
import io.vivarium.v1.AcquireResponse;
import io.vivarium.v1.DescribeRequest;
import io.vivarium.v1.DescribeResponse;
import io.vivarium.v1.LockServiceGrpc;
import io.vivarium.v1.Reentry;
import io.vivarium.v1.ReleaseRequest;
import io.vivarium.v1.ReleaseResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Locks of the ensemble: fair, held for as long as the session lives, each with a fencing token.
 *
 * <p>There are two forms. A {@link LockHandle} belongs to nobody in particular; {@link #mutex}, {@link #readLock}
 * and {@link #writeLock} are {@link java.util.concurrent.locks.Lock}s, which belong to the thread that locked them
 * and may be locked by it again. What is asked for and not wanted any more, because the thread was interrupted or
 * the time was over, is given back.
 */
public final class Locks {
    private final VivariumClient client;

    Locks(VivariumClient client) {
        this.client = client;
    }

    /**
     * Waits until the mutex is held, behind those who asked before, for as long as the session lives.
     *
     * @throws VivariumException SESSION_LOST; KIND_MISMATCH where it is in use as a read-write lock; INTERRUPTED
     */
    public LockHandle acquire(String lock) {
        return acquire(lock, LockMode.EXCLUSIVE);
    }

    /** As {@link #acquire(String)}, in this mode. */
    public LockHandle acquire(String lock, LockMode mode) {
        return ask(lock, mode, null).orElseThrow(
                () -> VivariumException.broken("whoever waits without limit has the lock at last"));
    }

    /** The mutex, if it is free. */
    public Optional<LockHandle> tryAcquire(String lock) {
        return ask(lock, LockMode.EXCLUSIVE, Duration.ZERO);
    }

    /** The mutex, if it is to be had in time. The answer may take the request timeout longer. */
    public Optional<LockHandle> tryAcquire(String lock, Duration wait) {
        return ask(lock, LockMode.EXCLUSIVE, wait);
    }

    /** As {@link #tryAcquire(String, Duration)}, in this mode. */
    public Optional<LockHandle> tryAcquire(String lock, LockMode mode, Duration wait) {
        return ask(lock, mode, wait);
    }

    /** A mutex that belongs to the thread that locked it. All those of one path and client are one. */
    public DistributedLock mutex(String lock) {
        return new DistributedLock(client, lock, LockMode.EXCLUSIVE);
    }

    /** The shared side of a read-write lock, as {@link #mutex}. */
    public DistributedLock readLock(String lock) {
        return new DistributedLock(client, lock, LockMode.READ);
    }

    /** The exclusive side of a read-write lock, as {@link #mutex}. */
    public DistributedLock writeLock(String lock) {
        return new DistributedLock(client, lock, LockMode.WRITE);
    }

    /** Who has a lock and who waits for it, in the order of asking; the first 1,000. */
    public List<LockPlace> holders(String lock) {
        DescribeResponse answer =
                client.read(LockServiceGrpc.getDescribeMethod(), () -> DescribeRequest.newBuilder()
                        .setLock(lock)
                        .setRead(client.readOptions())
                        .build());
        client.core.saw(answer.getZxid());
        List<LockPlace> places = new ArrayList<>();
        answer.getPlacesList().forEach(place -> places.add(new LockPlace(place)));
        return places;
    }

    /** {@code wait}: nothing for as long as the session lives. */
    Optional<LockHandle> ask(String lock, LockMode mode, Duration wait) {
        // What is waited for is the lock; the answer may take as long as any other.
        Deadline turn = wait == null ? Deadline.NEVER : Deadline.in(wait);
        Deadline deadline = turn.plus(client.requestTimeout);
        Session session = client.core.session(client.deadline());
        try {
            if (!client.core.lockCalls.tryAcquire(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS)) {
                throw VivariumException.timedOut(false, null);
            }
        } catch (InterruptedException interrupted) {
            throw VivariumException.interrupted(false, interrupted);
        }
        try {
            return ask(session, deadline, turn, wait != null, lock, mode);
        } finally {
            client.core.lockCalls.release();
        }
    }

    private Optional<LockHandle> ask(
            Session session, Deadline deadline, Deadline turn, boolean limited, String lock, LockMode mode) {
        // Remembered by the place in the lock, so it holds up no other write.
        long number = client.number(session, client.deadline());
        session.window.answered(number);
        String owner = String.format("%016x", ThreadLocalRandom.current().nextLong());
        AcquireRequest request = AcquireRequest.newBuilder()
                .setHeader(client.header(session, number))
                .setLock(lock)
                .setOwner(owner)
                .setMode(mode.message)
                .setReentry(Reentry.REENTRY_NONE)
                .build();
        AcquireResponse answer;
        try {
            answer = client.core.call(deadline, session, LockServiceGrpc.getAcquireMethod(), () -> limited
                    ? request.toBuilder().setWaitMs(Math.max(0, turn.leftNanos() / 1_000_000)).build()
                    : request);
        } catch (VivariumException error) {
            // What was refused left nothing behind.
            if (error.mayBeDone() && !session.isLost() && !error.is(VivariumException.Kind.SESSION_LOST)) {
                client.core.tidy("the lock " + lock, () -> giveBack(session, request));
            }
            throw error;
        }
        client.core.saw(answer.getZxid());
        return answer.getAcquired()
                ? Optional.of(new LockHandle(client, session, lock, owner, answer.getToken()))
                : Optional.<LockHandle>empty();
    }

    /** The same call again finds the place that it took, and leaves it or has the lock. */
    private void giveBack(Session session, AcquireRequest request) {
        AcquireRequest again = request.toBuilder().setWaitMs(0).build();
        AcquireResponse answer =
                client.core.call(Deadline.NEVER, session, LockServiceGrpc.getAcquireMethod(), () -> again);
        if (answer.getAcquired()) {
            release(client, session, Deadline.NEVER, request.getLock(), request.getOwner());
        }
    }

    static void release(VivariumClient client, Session session, Deadline deadline, String lock, String owner) {
        // That a lock is not held any more is no reason to keep another one.
        ReleaseResponse answer = client.withoutFences()
                .write(session, deadline, LockServiceGrpc.getReleaseMethod(), header -> ReleaseRequest.newBuilder()
                        .setHeader(header)
                        .setLock(lock)
                        .setOwner(owner)
                        .build());
        client.core.saw(answer.getZxid());
    }

    /** Which threads of this process hold what, of one client. */
    static final class Held {
        private final Map<Key, Hold> holds = new HashMap<>();

        static final class Hold {
            final LockHandle handle;
            int count = 1;

            Hold(LockHandle handle) {
                this.handle = handle;
            }
        }

        private static final class Key {
            final Thread thread;
            final String lock;
            final LockMode mode;

            Key(String lock, LockMode mode) {
                this.thread = Thread.currentThread();
                this.lock = lock;
                this.mode = mode;
            }

            @Override
            public boolean equals(Object other) {
                return other instanceof Key && ((Key) other).thread == thread && ((Key) other).lock.equals(lock)
                        && ((Key) other).mode == mode;
            }

            @Override
            public int hashCode() {
                return 31 * System.identityHashCode(thread) + lock.hashCode() + mode.hashCode();
            }
        }

        /** The calling thread's; {@code null} unless it holds it. What its session took along is none. */
        synchronized Hold get(String lock, LockMode mode) {
            Key key = new Key(lock, mode);
            Hold hold = holds.get(key);
            if (hold != null && hold.handle.session.isLost()) {
                return null;
            }
            return hold;
        }

        synchronized void put(String lock, LockMode mode, LockHandle handle) {
            // Of threads that ended without unlocking, and of sessions that are over.
            holds.entrySet().removeIf(
                    each -> each.getValue().handle.session.isLost() || !each.getKey().thread.isAlive());
            holds.put(new Key(lock, mode), new Hold(handle));
        }

        /** Forgets the calling thread's, whatever its session has come to. */
        synchronized Hold remove(String lock, LockMode mode) {
            return holds.remove(new Key(lock, mode));
        }

        synchronized Hold any(String lock, LockMode mode) {
            return holds.get(new Key(lock, mode));
        }
    }
}
