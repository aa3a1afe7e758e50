// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/checkpoint_target.h"

#include <array>

namespace quantloupe {

namespace checkpoints {
#define QUANTLOUPE_ENTRY(name) extern const CheckpointTarget name;
#include "core/checkpoints/registry.inc"  // written by CMake from the one list
#undef QUANTLOUPE_ENTRY
}  // namespace checkpoints

std::span<const CheckpointTarget* const> checkpointTargets()
{
#define QUANTLOUPE_ENTRY(name) &checkpoints::name,
    static constexpr std::array kTable {
#include "core/checkpoints/registry.inc"
    };
#undef QUANTLOUPE_ENTRY
    return kTable;
}

const CheckpointTarget* findCheckpointTarget(std::string_view name)
{
    for (const auto* target : checkpointTargets())
        if (target->name == name)
            return target;
    return nullptr;
}

std::uint64_t CheckpointDraft::bytes() const
{
    std::uint64_t sum = 0;
    for (const auto& file : files)
        sum += file.size;
    return sum;
}

}  // namespace quantloupe
