package clients.recipes;

import clients.CuratorProgram;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;

/** Every recipe once, one after the other, each by several clients that contend or look on. */
final class Recipes {
    /** The check of one recipe. */
    interface Check {
        void on(Stage stage) throws Exception;
    }

    private final CuratorProgram program;
    private final List<CuratorFramework> clients;

    private Recipes(CuratorProgram program) {
        this.program = program;
        clients = List.of(program.client(0), program.client(1), program.client(2));
    }

    void prove(String name, String promise, Check check) {
        Stage stage = new Stage(program, program.root + '/' + name, clients);
        program.prove(name, promise, () -> check.on(stage));
    }

    public static void main(String[] arguments) {
        CuratorProgram program = new CuratorProgram(arguments);
        Recipes recipes = new Recipes(program);
        program.ready();
        Framework.all(recipes);
        Locks.all(recipes);
        Leaders.all(recipes);
        Barriers.all(recipes);
        Counters.all(recipes);
        Queues.all(recipes);
        Nodes.all(recipes);
        Caches.all(recipes);
        Discovery.all(recipes);
        Async.all(recipes);
        OfThisVersion.all(recipes);
        program.verdict();
    }
}
