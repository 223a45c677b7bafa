package clients;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;

/** InterProcessMutex: never held twice, and every stay leaves its trace. */
final class Mutex {
    public static void main(String[] arguments) throws Exception {
        CuratorProgram program = new CuratorProgram(arguments);
        String path = program.root + "/lock";
        CuratorFramework first = program.client(0);
        Guard guard = new Guard(first, program.root + "/guard");
        List<Program.Worker> workers = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            CuratorFramework client = i == 0 ? first : program.client(i);
            String name = "contender-" + i;
            InterProcessMutex mutex = new InterProcessMutex(client, path);
            workers.add(() -> {
                while (!program.finishing()) {
                    Program.require(mutex.acquire(90, TimeUnit.SECONDS), name + " waited 90 s for the lock");
                    // Reentrant: the same thread takes it again at no cost.
                    Program.require(mutex.acquire(0, TimeUnit.SECONDS), name + " is shut out of its own lock");
                    guard.hold(client, name);
                    mutex.release();
                    mutex.release();
                    program.acknowledged();
                }
            });
        }
        program.run(workers);
        guard.check(first);
        first.sync().forPath(path);
        List<String> left = first.getChildren().forPath(path);
        Program.require(left.isEmpty(), "released locks are still there: " + left);
        program.verdict(Map.of("held", guard.steps.get()));
    }
}
