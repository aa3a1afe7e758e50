// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/allocation/allocation.h"

#include <QWidget>

#include <map>
#include <memory>

class QLabel;
class QSlider;
class QTimer;
class Workbench;

/// A size for the whole model, in bits per weight. Moving it slides along the frontier of mixed precision and rewrites
/// the recipe while it moves; one drag is one undo step. Off until something was measured.
class BudgetSlider final : public QWidget
{
    Q_OBJECT
public:
    explicit BudgetSlider(Workbench* workbench, QWidget* parent = nullptr);

    QSlider* slider() const { return m_slider; }
    bool isReady() const { return m_frontier != nullptr; }

Q_SIGNALS:
    void readyChanged();

private:
    void scheduleFrontier();
    void computeFrontier();
    void showRecipe();
    void onMoved();
    std::uint64_t bytesAt(int position) const;
    int positionOf(std::uint64_t bytes) const;
    std::vector<std::string> keep() const;

    Workbench* m_workbench;
    QSlider* m_slider;
    QLabel* m_label;
    QTimer* m_pause;
    std::shared_ptr<const quantloupe::Frontier> m_frontier;
    std::vector<std::string> m_keep;  // what the frontier was computed with
    /// A budget may keep tensors of its own choice; they are free again for the next one. Keep list of a recipe that
    /// the slider made → the user's own keep list.
    std::map<std::vector<std::string>, std::vector<std::string>> m_chosenKeep;
    int m_mergeId;
    bool m_moving = false;  // the recipe that arrives is the slider's own
};
