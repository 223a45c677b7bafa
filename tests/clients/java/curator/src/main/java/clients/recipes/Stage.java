package clients.recipes;

import clients.CuratorProgram;
import clients.Guard;
import clients.Program;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.KeeperException;

/**
 * What a recipe is checked with: three processes' worth of clients, each with a session of its own
 * on a member of its own, and a path that no other recipe uses.
 */
final class Stage {
    /** For everything that must happen; far above what it takes. */
    static final long PATIENCE_S = 60;

    final CuratorProgram program;
    final String root;
    private final List<CuratorFramework> clients;

    Stage(CuratorProgram program, String root, List<CuratorFramework> clients) {
        this.program = program;
        this.root = root;
        this.clients = clients;
    }

    int size() {
        return clients.size();
    }

    CuratorFramework client(int number) {
        return clients.get(number % clients.size());
    }

    /** A client for this recipe alone, whose session may be ended. */
    CuratorFramework mortal(int member) throws Exception {
        CuratorFramework client = program.client(member, true);
        client.blockUntilConnected();
        return client;
    }

    String path(String name) {
        return root + '/' + name;
    }

    Guard guard() throws Exception {
        return new Guard(client(0), path("guard"));
    }

    void sideBySide(Program.Worker... workers) throws InterruptedException {
        Program.sideBySide(Arrays.asList(workers));
    }

    /** Work of one of the clients. */
    interface Part {
        void of(int number, CuratorFramework client) throws Exception;
    }

    /** Every client does its part, all at the same time. */
    void everyClient(Part part) throws InterruptedException {
        List<Program.Worker> workers = new ArrayList<>();
        for (int i = 0; i < size(); i++) {
            int number = i;
            workers.add(() -> part.of(number, client(number)));
        }
        Program.sideBySide(workers);
    }

    /** What was written before, by whomever, is seen by this client's next read. */
    CuratorFramework synced(int number) throws Exception {
        CuratorFramework client = client(number);
        // In the order of the session: the reads behind it wait for it.
        client.sync().forPath("/");
        return client;
    }

    void requireNoChildren(String path, String what) throws Exception {
        synced(0);
        List<String> left = childrenIfThere(client(0), path);
        Program.require(left.isEmpty(), what + ": expected no children, found " + left);
    }

    /** The children; none if the znode is a container that was removed when it had become empty. */
    static List<String> childrenIfThere(CuratorFramework client, String path) throws Exception {
        try {
            return client.getChildren().forPath(path);
        } catch (KeeperException.NoNodeException removed) {
            return List.of();
        }
    }
}
