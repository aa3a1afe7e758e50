// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/export_targets/export_target.h"

#include <array>

namespace quantloupe {

namespace export_targets {
#define QUANTLOUPE_ENTRY(name) extern const ExportTarget name;
#include "core/export_targets/registry.inc"  // written by CMake from the one list
#undef QUANTLOUPE_ENTRY
}  // namespace export_targets

std::span<const ExportTarget* const> exportTargets()
{
#define QUANTLOUPE_ENTRY(name) &export_targets::name,
    static constexpr std::array kTable {
#include "core/export_targets/registry.inc"
    };
#undef QUANTLOUPE_ENTRY
    return kTable;
}

const ExportTarget* findExportTarget(std::string_view name)
{
    for (const auto* target : exportTargets())
        if (target->name == name)
            return target;
    return nullptr;
}

}  // namespace quantloupe
