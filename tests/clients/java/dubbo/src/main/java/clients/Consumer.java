package clients;

import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** Looks for the service; each change of who offers it counts as one. */
public final class Consumer {
    private Consumer() {}

    public static void main(String[] arguments) throws Exception {
        DubboProgram program = new DubboProgram(arguments, Program.SESSION_TIMEOUT_MS);
        Set<Integer> offered = new HashSet<>();
        program.subscribe(program.registry(1), ports -> {
            synchronized (offered) {
                if (offered.equals(ports)) {
                    return;
                }
                offered.clear();
                offered.addAll(ports);
                program.acknowledged();
            }
        });
        program.ready();
        while (!program.finishing()) {
            program.pause(1_000);
        }
        program.verdict(Map.of("left", offered.size()));
    }
}
