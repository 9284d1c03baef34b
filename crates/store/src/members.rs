//! Members: users and their roles in apps.

use model::access::{MAX_MEMBERSHIPS, Member, Role, User};
use model::audit::{Actor, Change};
use model::{AppId, Timestamp, UserId};
use sqlx::FromRow;

use crate::db::{Tx, on};
use crate::page::{Page, PageQuery};
use crate::{Result, Store, StoreError, audit, rows, users};

const FIND: &str = "select app_id, user_id, role, created_at, updated_at from member \
    where app_id = $1 and user_id = $2";
const COUNT: &str = "select count(*) from member where user_id = $1 and app_id <> $2";
const LIVING_USER: &str = "select count(*) from \"user\" where id = $1";
const PUT: &str = "insert into member (app_id, user_id, role, created_at, updated_at) \
    values ($1, $2, $3, $4, $5) on conflict (app_id, user_id) \
    do update set role = excluded.role, updated_at = excluded.updated_at";
const DELETE: &str = "delete from member where app_id = $1 and user_id = $2";

macro_rules! list {
    ($order:literal) => {
        concat!(
            "select m.app_id, m.user_id, m.role, m.created_at, m.updated_at, \
             u.email, u.name from member m join \"user\" u on u.id = m.user_id \
             where m.app_id = $1 and m.user_id > $2 and m.user_id < $3 order by m.user_id",
            $order,
            " limit $4"
        )
    };
}
const LIST_ASCENDING: &str = list!("");
const LIST_DESCENDING: &str = list!(" desc");

#[derive(FromRow)]
struct Row {
    app_id: String,
    user_id: String,
    role: String,
    created_at: i64,
    updated_at: i64,
}

#[derive(FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    member: Row,
    email: String,
    name: String,
}

impl TryFrom<Row> for Member {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            app_id: rows::id(&row.app_id)?,
            user_id: rows::id(&row.user_id)?,
            role: users::role(&row.role)?,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

/// A member with what people know them by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMember {
    pub member: Member,
    pub email: String,
    pub name: String,
}

impl NamedMember {
    #[must_use]
    pub fn new(member: Member, user: User) -> Self {
        Self { member, email: user.email, name: user.name }
    }
}

/// What became of a new or changed member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberPut {
    Created,
    Changed,
    NoSuchUser,
    /// The user is a member of too many apps.
    TooMany,
}

impl Store {
    /// # Errors
    /// When the database fails.
    pub async fn member_in_app(&self, app: AppId, user: UserId) -> Result<Option<Member>> {
        let row: Option<Row> = on!(self.db().reader(), c => sqlx::query_as(FIND)
            .bind(app.as_str()).bind(user.as_str()).fetch_optional(c).await)?;
        row.map(Member::try_from).transpose()
    }

    /// # Errors
    /// When the database fails.
    pub async fn members_in_app(&self, app: AppId, query: &PageQuery) -> Result<Page<NamedMember>> {
        let keyset = query.keyset();
        let sql = if keyset.ascending { LIST_ASCENDING } else { LIST_DESCENDING };
        let found: Vec<NamedRow> = on!(self.db().reader(), c => sqlx::query_as(sql)
            .bind(app.as_str()).bind(&keyset.above).bind(&keyset.below).bind(keyset.fetch())
            .fetch_all(c).await)?;
        let named = |row: NamedRow| {
            let NamedRow { member, email, name } = row;
            Ok(NamedMember { member: member.try_into()?, email, name })
        };
        let members = found.into_iter().map(named).collect::<Result<Vec<_>>>()?;
        Ok(keyset.page(members, |named| named.member.user_id.to_string()))
    }

    /// Makes the user a member, or changes their role.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_member(&self, member: &Member, by: &Actor) -> Result<MemberPut> {
        let mut tx = self.db().begin().await?;
        let living: i64 = on!(&mut tx, c => sqlx::query_scalar(LIVING_USER)
            .bind(member.user_id.as_str()).fetch_one(&mut **c).await)?;
        if living == 0 {
            return Ok(MemberPut::NoSuchUser);
        }
        let others: i64 = on!(&mut tx, c => sqlx::query_scalar(COUNT)
            .bind(member.user_id.as_str()).bind(member.app_id.as_str())
            .fetch_one(&mut **c).await)?;
        if others >= i64::from(MAX_MEMBERSHIPS) {
            return Ok(MemberPut::TooMany);
        }
        let before = find(&mut tx, member.app_id, member.user_id).await?;
        on!(&mut tx, c => sqlx::query(PUT)
            .bind(member.app_id.as_str()).bind(member.user_id.as_str())
            .bind(member.role.as_str())
            .bind(member.created_at.0).bind(member.updated_at.0)
            .execute(&mut **c).await.map(drop))?;
        let (action, done) = match before {
            Some(_) => ("member.update", MemberPut::Changed),
            None => ("member.create", MemberPut::Created),
        };
        let entry = change(action, member, before.map(|member| member.role), Some(member.role));
        audit::append(self, &mut tx, by, entry).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// False when the user is no member.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_member(&self, app: AppId, user: UserId, by: &Actor) -> Result<bool> {
        let mut tx = self.db().begin().await?;
        let Some(before) = find(&mut tx, app, user).await? else { return Ok(false) };
        on!(&mut tx, c => sqlx::query(DELETE)
            .bind(app.as_str()).bind(user.as_str()).execute(&mut **c).await.map(drop))?;
        let entry = change("member.delete", &before, Some(before.role), None);
        audit::append(self, &mut tx, by, entry).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn find(tx: &mut Tx, app: AppId, user: UserId) -> Result<Option<Member>> {
    let row: Option<Row> = on!(tx, c => sqlx::query_as(FIND)
        .bind(app.as_str()).bind(user.as_str()).fetch_optional(&mut **c).await)?;
    row.map(Member::try_from).transpose()
}

fn change(
    action: &'static str,
    member: &Member,
    before: Option<Role>,
    after: Option<Role>,
) -> Change {
    let role = |role: Role| serde_json::json!({ "role": role.as_str() });
    Change {
        action,
        target: member.user_id.to_string(),
        app_id: Some(member.app_id),
        before: before.map(role),
        after: after.map(role),
    }
}
