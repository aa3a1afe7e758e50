// SPDX-License-Identifier: GPL-3.0-or-later
// What the section builders share. Internal to the room.
#pragma once

#include "core/report/document.h"
#include "core/report/formatting.h"
#include "core/report/trade_off.h"

#include <optional>
#include <string>
#include <vector>

namespace quantloupe {

struct ReportContext {
    const StudySnapshot& study;
    const ReportOptions& options;
    const Recipe* recipe = nullptr;  ///< null when there is none
    std::optional<Plan> plan;        ///< the recipe resolved
    Workload workload {};            ///< with the KV cache as the recipe says
    double signalEnergy = 0.0;       ///< of the study: signalEnergy(study)
    TradeOffPicture tradeOff;

    /// The tensor under its scheme in the recipe; null when kept or not measured.
    const SchemeMeasurement* planned(std::size_t tensor) const;
    /// "int4:g128", or "kept" for tensors that stay as stored; "–" without a recipe.
    std::string plannedScheme(std::size_t tensor) const;
};

std::vector<ReportBlock> summaryBlocks(const ReportContext& context);
std::vector<ReportBlock> findingBlocks(const ReportContext& context);
std::vector<ReportBlock> sizeBlocks(const ReportContext& context);
std::vector<ReportBlock> layerBlocks(const ReportContext& context);
std::vector<ReportBlock> sensitivityBlocks(const ReportContext& context);
std::vector<ReportBlock> tradeOffBlocks(const ReportContext& context);
std::vector<ReportBlock> recipeBlocks(const ReportContext& context);
std::vector<ReportBlock> savingsBlocks(const ReportContext& context);
std::vector<ReportBlock> methodBlocks(const ReportContext& context);

}  // namespace quantloupe
