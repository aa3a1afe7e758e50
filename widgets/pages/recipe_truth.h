// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/verify.h"
#include "core/recipes/recipe.h"

#include <QObject>
#include <QString>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

class FrontierBudget;
class Workbench;

/// What recipes of the open model really do to a text's predictions: measured in a job, and kept in the study, which
/// gives it back whenever the same recipe comes again.
class RecipeTruth final : public QObject
{
    Q_OBJECT
public:
    /// A recipe or a uniform scheme, predicted and measured.
    struct Measured {
        QString label;
        quantloupe::TradeOffPoint predicted;  ///< error NaN: not known, or no divergence
        quantloupe::MeasuredError measured;
    };
    struct Truth {
        QString text;  ///< name of the file
        std::size_t predictions = 0;
        quantloupe::Recipe recipe;                     ///< the one that was measured
        bool predictsDivergence = false;               ///< whether the metric then did; else no error is predicted
        Measured current;                              ///< of `recipe`
        std::optional<Measured> uniform;               ///< the best single scheme of at most its size
        std::vector<quantloupe::TriedChoice> tried;    ///< by local search at its size; empty without; error as above
        std::optional<Measured> best;                  ///< of `tried`
        std::optional<quantloupe::Recipe> bestRecipe;  ///< where it is better than the recipe
        std::optional<quantloupe::Error> failure;      ///< why something beside `current` is missing
    };
    using TruthPointer = std::shared_ptr<const Truth>;

    RecipeTruth(Workbench* workbench, FrontierBudget* budget, QObject* parent);

    /// Null until something was measured.
    TruthPointer truth() const { return m_truth; }
    bool isMeasuring() const;
    /// Measures the recipe, by weights alone, on no more than the first `tokens` of a text; and, with evaluations, so
    /// many recipes of at most its size that local search finds. A failure is reported; what was measured of the
    /// recipe by then is kept.
    void measure(const QString& textFile, std::size_t tokens, std::size_t evaluations);

Q_SIGNALS:
    void changed();

private:
    void recall();  ///< what the study knows of the recipe

    Workbench* m_workbench;
    FrontierBudget* m_budget;
    TruthPointer m_truth;
};
