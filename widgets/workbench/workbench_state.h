// SPDX-License-Identifier: GPL-3.0-or-later
// What a Workbench holds. Seen by the workbench's own .cpp files only.
#pragma once

#include "widgets/workbench/study_store.h"
#include "widgets/workbench/work_list.h"
#include "widgets/workbench/workbench.h"

#include <QTimer>

#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

/// The recipe as last edited. Jobs write what stands here when they come to it, not what stood there when they were
/// asked for: whichever of them is last, the study keeps the newest.
class KeptRecipe
{
public:
    void set(const quantloupe::Recipe& recipe)
    {
        const std::lock_guard lock(m_mutex);
        m_recipe = recipe;
    }
    /// Nothing where nothing was edited.
    quantloupe::Result<void> write(StudyWriter& writer) const
    {
        const std::lock_guard lock(m_mutex);
        return m_recipe ? writer.setRecipe(*m_recipe) : quantloupe::Result<void>();
    }

private:
    mutable std::mutex m_mutex;
    std::optional<quantloupe::Recipe> m_recipe;
};

/// Closes a study again that nobody came for, e.g. because another model was opened meanwhile.
class UnclaimedStudy
{
public:
    UnclaimedStudy(std::shared_ptr<StudyStore> store, std::shared_ptr<StudyWriter> writer)
        : m_store(std::move(store))
        , m_writer(std::move(writer))
    {
    }
    ~UnclaimedStudy()
    {
        if (m_writer)
            (void)m_store->close(m_writer);
    }
    UnclaimedStudy(const UnclaimedStudy&) = delete;
    UnclaimedStudy& operator=(const UnclaimedStudy&) = delete;
    void claim() { m_writer.reset(); }

private:
    std::shared_ptr<StudyStore> m_store;
    std::shared_ptr<StudyWriter> m_writer;
};

/// What opening delivers, made off the window's thread.
struct Workbench::Opened {
    quantloupe::ModelPointer model;       // null for a study alone
    std::shared_ptr<StudyWriter> writer;  // likewise
    quantloupe::StudyPointer study;
    quantloupe::ModelCatalog catalog;
    std::string warning;
    std::shared_ptr<UnclaimedStudy> unclaimed;
};

struct Workbench::State {
    JobList* jobs = nullptr;
    QUndoStack* undo = nullptr;
    std::shared_ptr<StudyStore> store;
    std::vector<quantloupe::DeviceProfile> devices;

    QString path;
    QString textFile;  // the text that was run last
    quantloupe::ModelPointer model;
    std::shared_ptr<StudyWriter> writer;
    quantloupe::ModelCatalog catalog;
    std::unordered_map<std::string, std::size_t> index;  // tensor name → catalog
    quantloupe::StudyPointer study = std::make_shared<const quantloupe::StudySnapshot>();
    quantloupe::Recipe recipe;
    std::shared_ptr<KeptRecipe> kept = std::make_shared<KeptRecipe>();
    quantloupe::Plan plan;
    QStringList selection;

    quantloupe::Scheme initialScheme;
    Wishes wishes;
    std::set<std::pair<std::size_t, std::string>> unmeasurable;  // tried, and no result came: tensor, scheme
    bool analyzing = false;
    bool sweepWanted = true;  // false after the user cancelled: then only what is asked for is measured

    QTimer autosave;       // an edit is durable this long after the hand came to rest
    QTimer measureRecipe;  // likewise for measuring what the recipe newly uses
};

/// One undoable edit of the recipe.
class RecipeCommand final : public QUndoCommand
{
public:
    RecipeCommand(Workbench* workbench, quantloupe::Recipe after, const QString& text, int mergeId);
    int id() const override { return m_mergeId; }
    bool mergeWith(const QUndoCommand* other) override;
    void undo() override;
    void redo() override;

private:
    Workbench* m_workbench;
    quantloupe::Recipe m_before;
    quantloupe::Recipe m_after;
    int m_mergeId;
};

/// Names of the views that the workbench's own jobs replace each other in.
namespace jobviews {
inline const QString opening = QStringLiteral("workbench/open");
inline const QString analysis = QStringLiteral("workbench/analysis");
inline const QString text = QStringLiteral("workbench/text");
inline const QString autosave = QStringLiteral("workbench/autosave");
}  // namespace jobviews

inline std::filesystem::path toPath(const QString& text)
{
    return std::filesystem::path(text.toStdU16String());
}
inline QString toText(const quantloupe::Error& error)
{
    return QString::fromStdString(quantloupe::describe(error));
}
