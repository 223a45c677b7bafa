package io.vivarium.testkit;

import java.util.List;
import java.util.stream.Collectors;

/** The threads of the product in this process. */
public final class Threads {
    private Threads() {
    }

    public static List<Thread> ours() {
        return Thread.getAllStackTraces().keySet().stream()
            .filter(thread -> thread.isAlive() && thread.getName().startsWith("vivarium")).collect(Collectors.toList());
    }

    public static void awaitNone() {
        Waiting.until("threads are gone", Threads::ours, () -> ours().isEmpty());
    }
}
