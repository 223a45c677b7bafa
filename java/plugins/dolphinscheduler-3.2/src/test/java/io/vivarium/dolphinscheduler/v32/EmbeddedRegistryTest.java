package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.RegistryContract;

class EmbeddedRegistryTest extends RegistryContract {
    EmbeddedRegistryTest() {
        super(Tested.PLUGIN);
    }
}
