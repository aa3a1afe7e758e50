// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/commands.h"

namespace quantloupe::cli {

// One word per command: its row is in the file of the same name.
#define QUANTLOUPE_COMMANDS(ENTRY)                                                                                     \
    ENTRY(inspect)                                                                                                     \
    ENTRY(stats)                                                                                                       \
    ENTRY(analyze)                                                                                                     \
    ENTRY(audit)                                                                                                       \
    ENTRY(compare)                                                                                                     \
    ENTRY(calibrate)                                                                                                   \
    ENTRY(evaluate)                                                                                                    \
    ENTRY(sensitivity)                                                                                                 \
    ENTRY(allocate)                                                                                                    \
    ENTRY(train_quantized)                                                                                             \
    ENTRY(project)                                                                                                     \
    ENTRY(devices)                                                                                                     \
    ENTRY(export)                                                                                                      \
    ENTRY(import)                                                                                                      \
    ENTRY(lint)                                                                                                        \
    ENTRY(targets)                                                                                                     \
    ENTRY(report)                                                                                                      \
    ENTRY(train_sample)                                                                                                \
    ENTRY(bench)

#define QUANTLOUPE_DECLARE(name) extern const Command name##Command;
QUANTLOUPE_COMMANDS(QUANTLOUPE_DECLARE)
#undef QUANTLOUPE_DECLARE

std::span<const Command* const> allCommands()
{
#define QUANTLOUPE_ADDRESS(name) &name##Command,
    static constexpr const Command* kCommands[] = {QUANTLOUPE_COMMANDS(QUANTLOUPE_ADDRESS)};
#undef QUANTLOUPE_ADDRESS
    return kCommands;
}

}  // namespace quantloupe::cli
