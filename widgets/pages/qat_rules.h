// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/trained_quantizer.h"
#include "core/recipes/plan.h"

#include <QString>

#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <utility>

inline constexpr std::array stepRules {
    quantloupe::StepRule::Estimated, quantloupe::StepRule::Scale, quantloupe::StepRule::Affine};

QString ruleTitle(quantloupe::StepRule rule);
QString ruleExplanation(quantloupe::StepRule rule);

/// Schemes, each with a row length: what a rule must go with.
using SchemesWithColumns = std::set<std::pair<std::string, std::size_t>>;
SchemesWithColumns schemesOf(const quantloupe::Plan& plan, const quantloupe::ModelCatalog& catalog);
/// Why a rule does not go with one of the schemes; empty where it does.
QString refusalOf(quantloupe::StepRule rule, const SchemesWithColumns& schemes);
