// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_rules.h"

#include "widgets/pages/qat_controls.h"

using quantloupe::StepRule;
using quantloupe::TrainedQuantizer;

QString ruleTitle(StepRule rule)
{
    switch (rule) {
    case StepRule::Estimated: return QatControls::tr("STE: scales from the weights");
    case StepRule::Scale: return QatControls::tr("LSQ: learned scales");
    case StepRule::Affine: return QatControls::tr("Affine: learned scales and minima");
    }
    return {};
}

QString ruleExplanation(StepRule rule)
{
    switch (rule) {
    case StepRule::Estimated:
        return QatControls::tr("Scales are found anew from the weights in each step, gradients pass straight through "
                               "rounding (straight-through estimator). Any scheme.");
    case StepRule::Scale:
        return QatControls::tr("Learned step size quantization: a scale per group is trained beside the weights. "
                               "Integers, whose whole zero point stays where there is one (sym, symf, asym).");
    case StepRule::Affine:
        return QatControls::tr("A scale and a minimum per group are trained beside the weights. Integers with a "
                               "floating minimum (asymf).");
    }
    return {};
}

SchemesWithColumns schemesOf(const quantloupe::Plan& plan, const quantloupe::ModelCatalog& catalog)
{
    SchemesWithColumns schemes;
    for (const auto& planned : plan.tensors)
        if (const auto& shape = catalog.tensors[planned.tensor].shape; planned.scheme && !shape.empty())
            schemes.emplace(planned.scheme->toString(), static_cast<std::size_t>(shape.back()));
    return schemes;
}

QString refusalOf(StepRule rule, const SchemesWithColumns& schemes)
{
    for (const auto& [text, columns] : schemes) {
        const auto scheme = quantloupe::Scheme::parse(text);
        if (!scheme)
            continue;
        if (const auto made = TrainedQuantizer::create(*scheme, rule, 1, columns); !made)
            return QString::fromStdString(quantloupe::describe(made.error()));
    }
    return {};
}
