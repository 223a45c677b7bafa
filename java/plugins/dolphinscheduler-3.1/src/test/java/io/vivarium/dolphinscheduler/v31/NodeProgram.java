package io.vivarium.dolphinscheduler.v31;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;

/** A node in a process of its own, which tests kill while it has the lock: its name, and its configuration. */
public final class NodeProgram {
    private NodeProgram() {
    }

    public static void main(String[] arguments) throws InterruptedException {
        Node node = new Node(arguments[0], new AtomicInteger(), Arrays.copyOfRange(arguments, 1, arguments.length));
        node.finishWork();
        node.register("here");
        node.registry.acquireLock(Node.LOCK);
        System.out.println("READY");
        Thread.sleep(Long.MAX_VALUE);
    }
}
