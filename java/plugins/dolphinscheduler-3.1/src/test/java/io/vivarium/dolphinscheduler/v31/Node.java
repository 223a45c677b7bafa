package io.vivarium.dolphinscheduler.v31;

import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Waiting;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.dolphinscheduler.registry.api.ConnectionState;
import org.apache.dolphinscheduler.registry.api.Event;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.springframework.boot.Banner;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.ComponentScan;

/**
 * A master as far as its registry goes: it registers itself, follows the others, and works while it has a lock, again
 * and again from its start to its end.
 */
final class Node implements AutoCloseable {
    static final String MASTERS = "/nodes/master";
    static final String LOCK = "/lock/masters";
    private static final long WORK_MS = 1;
    private static final long REST_MS = 50;

    /** As DolphinScheduler finds its registry plugins, and ours. */
    @SpringBootConfiguration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    @ComponentScan("org.apache.dolphinscheduler.plugin.registry")
    static class Host {
    }

    final String name;
    final Registry registry;
    /** {@code NAME=VALUE} of each master that it is told of, and {@code NAME gone}. */
    final Recorder<Event> told = new Recorder<>(Node::words);
    final Recorder<ConnectionState> states = new Recorder<>(ConnectionState::name);
    private final ConfigurableApplicationContext context;
    private final AtomicInteger turns = new AtomicInteger();
    private final Thread worker;
    private volatile boolean stopping;
    private volatile RuntimeException failed;

    /** {@code working} counts who works at this moment, over all nodes. */
    Node(String name, AtomicInteger working, String... configuration) {
        this.name = name;
        context = new SpringApplicationBuilder(Host.class).web(WebApplicationType.NONE).bannerMode(Banner.Mode.OFF)
            .logStartupInfo(false).registerShutdownHook(false).run(configuration);
        registry = context.getBean(Registry.class);
        registry.addConnectionStateListener(states::tell);
        registry.subscribe(MASTERS, event -> {
            if (event.type() != null && event.path() != null && event.path().startsWith(MASTERS + "/")) {
                told.tell(event);
            }
        });
        if (!registry.exists(MASTERS)) {
            registry.put(MASTERS, "", false);
        }
        worker = new Thread(() -> work(working), "test-worker-" + name);
        worker.setDaemon(true);
        worker.start();
    }

    private static String words(Event event) {
        String name = event.path().substring(MASTERS.length() + 1);
        return event.type() == Event.Type.REMOVE ? name + " gone" : name + "=" + event.data();
    }

    private void work(AtomicInteger working) {
        try {
            while (!stopping) {
                registry.acquireLock(LOCK);
                int others = working.getAndIncrement();
                Thread.sleep(WORK_MS);
                working.decrementAndGet();
                registry.releaseLock(LOCK);
                if (others != 0) {
                    throw new IllegalStateException(name + " works while " + others + " others do");
                }
                turns.incrementAndGet();
                Thread.sleep(REST_MS);
            }
        } catch (RuntimeException error) {
            failed = error;
        } catch (InterruptedException asked) {
            failed = new IllegalStateException(asked);
        }
    }

    void register(String value) {
        registry.put(MASTERS + "/" + name, value, true);
    }

    int turns() {
        return turns.get();
    }

    /** Works once more than it had then. */
    void awaitTurnAfter(int before) {
        Waiting.until(name + " has the lock", () -> String.valueOf(failed), () -> {
            if (failed != null) {
                throw new AssertionError(failed);
            }
            return turns.get() > before;
        });
    }

    void finishWork() throws InterruptedException {
        stopping = true;
        worker.join();
        if (failed != null) {
            throw new AssertionError(failed);
        }
    }

    /** As a host stops: it takes its name away, and ends its session. */
    void leave() throws InterruptedException {
        finishWork();
        registry.delete(MASTERS + "/" + name);
        close();
    }

    @Override
    public void close() {
        stopping = true;
        context.close();
    }
}
