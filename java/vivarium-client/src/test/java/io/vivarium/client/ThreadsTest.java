package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ThreadsTest {
    private final Core core = new Core(new Options(VivariumClient.builder().endpoints("a:1")));
    private final CountDownLatch released = new CountDownLatch(1);
    private final AtomicInteger done = new AtomicInteger();

    @AfterEach
    void nothingIsLeft() {
        released.countDown();
        core.threads.stop(Deadline.in(Waiting.PATIENCE));
        Waiting.until("threads are gone", () -> Thread.getAllStackTraces().keySet().stream()
                .noneMatch(thread -> thread.getName().matches("vivarium-.*-" + core.threads.client + "(-.*)?")));
    }

    private void busy() {
        try {
            released.await();
        } catch (InterruptedException stopped) {
            return;
        }
        done.incrementAndGet();
    }

    @Test
    void whatComesWhileAllThreadsOfTheConnectionAreBusyWaits() {
        int tasks = 3 * Threads.IO_MAX;
        for (int each = 0; each < tasks; each++) {
            core.threads.io.execute(this::busy);
        }
        assertEquals(Threads.IO_MAX, core.threads.io.getPoolSize());
        assertEquals(tasks - Threads.IO_MAX, core.threads.io.getQueue().size());
        released.countDown();
        Waiting.until("all is done", done::get, () -> done.get() == tasks);
        // One at a time needs no more than one.
        assertEquals(Threads.IO_MAX, core.threads.io.getLargestPoolSize());
    }

    @Test
    void oneTaskAfterTheOtherTakesOneThread() {
        for (int each = 1; each <= 5; each++) {
            int before = each;
            core.threads.io.execute(done::incrementAndGet);
            Waiting.until("it is done", () -> done.get() == before && core.threads.io.getActiveCount() == 0);
        }
        assertTrue(core.threads.io.getLargestPoolSize() <= 2, "" + core.threads.io.getLargestPoolSize());
    }

    @Test
    void moreThanMayWaitForTheConnectionIsRefused() {
        for (int each = 0; each < Threads.IO_MAX + Threads.IO_TASKS_MAX; each++) {
            core.threads.io.execute(this::busy);
        }
        RejectedExecutionException full = org.junit.jupiter.api.Assertions.assertThrows(
                RejectedExecutionException.class, () -> core.threads.io.execute(this::busy));
        assertTrue(full.getMessage().contains("" + Threads.IO_TASKS_MAX), full.getMessage());
    }

    /** What nobody wants any more is then left to the end of the session, and nobody waits for it. */
    @Test
    void moreThanMayWaitToBeTidiedUpIsLeftAndSaid() {
        List<String> said = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public synchronized void publish(LogRecord record) {
                said.add(record.getMessage());
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        handler.setLevel(Level.ALL);
        Core.LOG.addHandler(handler);
        try {
            int atOnce = 2;
            for (int each = 0; each < atOnce + Threads.TIDY_MAX; each++) {
                core.tidy("the lock " + each, this::busy);
            }
            assertFalse(said.stream().anyMatch(line -> line.contains("is left to the end of the session")));
            core.tidy("the last lock", () -> done.set(Integer.MIN_VALUE));
            assertTrue(said.stream().anyMatch(line -> line.startsWith("the last lock is left to the end of the session")
                    && line.contains("" + Threads.TIDY_MAX)), said.toString());
            released.countDown();
            Waiting.until("the others are done", done::get, () -> done.get() == atOnce + Threads.TIDY_MAX);
        } finally {
            Core.LOG.removeHandler(handler);
        }
    }

    @Test
    void anIdleClientHasNoThreadsOfItsPools() {
        core.threads.stop(Deadline.in(Duration.ofSeconds(5)));
        core.threads.io.execute(this::busy);
        assertEquals(0, core.threads.io.getPoolSize(), "nothing is begun any more");
    }
}
